"""Write a Lantern projection in Python: `Row` declares tables, `Projection` takes functions for events.

    from lantern import Event, Projection, Row

    class Conference(Row, table="conferences", key="conference"):
        conference: str
        seats: int

    projection = Projection("seats", categories=["conference"], tables=[Conference])

    @projection.on("ConferenceOpened")
    def opened(event: Event, seats: int):
        row = Conference.get_or_default(event.aggregate_id)
        row.seats = seats
        row.put()
"""

import base64
import dataclasses
import inspect
import json
import linecache
import logging
import math
import traceback
import types
import typing
from functools import cached_property
from typing import Any, Callable, ClassVar, Self, Sequence, dataclass_transform

from componentize_py_types import Err
from wit_world.imports import events, log, read_model, read_model_writes, schema

__all__ = ["Event", "Projection", "Refused", "Row"]

_MAX_FOUND_ROWS = 10_000
_NULL = read_model.Value_Null()


class Refused(Exception):
    """Raise it when an event cannot be applied. Its text is what people read in the dead letter."""


class _Type(typing.NamedTuple):
    """What a Python type is on the wire, its default, and `fits`: the value as it is kept, or None."""

    column: schema.ColumnType
    value: type
    must: str
    zero: Any
    fits: Callable[[Any], Any]


def _integer(value: Any) -> int | None:
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def _real(value: Any) -> float | None:
    if type(value) not in (float, int):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _text(value: Any) -> str | None:
    if type(value) is not str:
        return None
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return None
    return value


_TYPES = {
    int: _Type(schema.ColumnType.INTEGER, read_model.Value_Integer, "a whole number of 64 bits", 0, _integer),
    float: _Type(schema.ColumnType.REAL, read_model.Value_Real, "a finite number", 0.0, _real),
    str: _Type(schema.ColumnType.TEXT, read_model.Value_Text, "text of whole Unicode characters", "", _text),
    bytes: _Type(schema.ColumnType.BLOB, read_model.Value_Blob, "bytes", b"", lambda v: v if type(v) is bytes else None),
    bool: _Type(
        schema.ColumnType.BOOLEAN, read_model.Value_Boolean, "true or false", False, lambda v: v if type(v) is bool else None
    ),
}


class _Cell:
    """A column of a table or a field of an event."""

    def __init__(self, place: str, name: str, annotation: Any):
        self.place, self.name = place, name
        union = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
        kinds = typing.get_args(annotation) if union else (annotation,)
        kind, *more = [kind for kind in kinds if kind is not types.NoneType]
        if more or kind not in _TYPES:
            raise TypeError(f"{place}: {annotation} is no type of a cell: int, float, str, bytes, bool, or one of these | None")
        self.nullable = len(kinds) > 1
        self.column, self.value, self.must, zero, self.fits = _TYPES[kind]
        self.zero = None if self.nullable else zero

    def checked(self, value: Any) -> Any:
        kept = self.fits(value)
        if kept is None and not (value is None and self.nullable):
            raise Refused(f"{self.place} must be {self.must}, not {_shown(value)}")
        return kept

    def encoded(self, kept: Any) -> read_model.Value:
        return _NULL if kept is None else self.value(kept)


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


class _Table:
    """A declared table, and its rows while one batch is applied."""

    def __init__(self, name: str, key: Sequence[str], cells: list[_Cell], indexes: dict[str, Sequence[str]]):
        self.name, self.cells = name, cells
        places = {cell.name: place for place, cell in enumerate(cells)}
        self.key = [places[column] for column in key]
        self.indexes = {index: [cells[places[column]] for column in columns] for index, columns in indexes.items()}
        self.rows: dict[tuple, tuple | None] = {}
        self.changed: dict[tuple, None] = {}

    def description(self) -> schema.Table:
        columns = [schema.Column(cell.name, cell.column, cell.nullable) for cell in self.cells]
        key = [self.cells[place].name for place in self.key]
        indexes = [schema.Index(name, [cell.name for cell in cells]) for name, cells in self.indexes.items()]
        return schema.Table(self.name, columns, key, indexes)

    def checked_key(self, key: tuple) -> tuple:
        return tuple(self.checked([self.cells[place] for place in self.key], key))

    def checked(self, cells: list[_Cell], values: tuple) -> list:
        if len(values) != len(cells):
            names = ", ".join(cell.name for cell in cells)
            raise TypeError(f"table {self.name}: values for {names} are needed, got {len(values)}")
        return [cell.checked(value) for cell, value in zip(cells, values)]

    def encoded_key(self, key: tuple) -> list[read_model.Value]:
        return [self.cells[place].encoded(value) for place, value in zip(self.key, key)]

    def load(self, key: tuple) -> tuple | None:
        if key not in self.rows:
            values = read_model.get(self.name, self.encoded_key(key))
            self.rows[key] = None if values is None else _decoded(values)
        return self.rows[key]

    def put(self, row: tuple) -> None:
        key = tuple([row[place] for place in self.key])
        self.rows[key] = row
        self.changed[key] = None

    def delete(self, key: tuple) -> None:
        self.rows[key] = None
        self.changed.pop(key, None)
        read_model_writes.delete(self.name, self.encoded_key(key))

    def find(self, index: str, values: tuple) -> list[tuple]:
        cells = self.indexes[index][: len(values)]
        wanted = [cell.encoded(value) for cell, value in zip(cells, self.checked(cells, values))]
        self.flush()
        return [_decoded(row) for row in read_model.find(self.name, index, wanted, _MAX_FOUND_ROWS)]

    def flush(self) -> None:
        if self.changed:
            rows = [[cell.encoded(value) for cell, value in zip(self.cells, self.rows[key])] for key in self.changed]
            read_model_writes.put_many(self.name, rows)
            self.changed.clear()

    def end_batch(self) -> None:
        self.flush()
        self.rows.clear()


def _decoded(values: list[read_model.Value]) -> tuple:
    return tuple([getattr(value, "value", None) for value in values])


@dataclass_transform()
class Row:
    """A row of a table: a dataclass whose fields are the columns, of type int, float, str, bytes or bool, or one of these `| None`.

    `class Order(Row, table="orders", key="order_id", indexes={"by_customer": ["customer"]})`; several
    columns make a key as a list. What `get` and `find` return are copies: only `put` changes a row.
    """

    _table: ClassVar[_Table]

    def __init_subclass__(cls, *, table: str, key: str | Sequence[str], indexes: dict[str, Sequence[str]] = {}):
        dataclasses.dataclass(cls)
        hints = typing.get_type_hints(cls)
        cells = [_Cell(f"{table}.{field.name}", field.name, hints[field.name]) for field in dataclasses.fields(cls)]
        for cell, field in zip(cells, dataclasses.fields(cls)):
            if field.default is not dataclasses.MISSING:
                cell.zero = cell.checked(field.default)
        cls._table = _Table(table, [key] if isinstance(key, str) else key, cells, indexes)

    @classmethod
    def get(cls, *key: Any) -> Self | None:
        """The row with this key, if there is one."""
        row = cls._table.load(cls._table.checked_key(key))
        return None if row is None else cls(*row)

    @classmethod
    def get_or_default(cls, *key: Any) -> Self:
        """The row, or one with this key and the defaults of its fields: None, 0, "", b"" or False if it names none."""
        checked = cls._table.checked_key(key)
        row = cls._table.load(checked)
        if row is not None:
            return cls(*row)
        fresh = cls(*[cell.zero for cell in cls._table.cells])
        for place, value in zip(cls._table.key, checked):
            setattr(fresh, cls._table.cells[place].name, value)
        return fresh

    @classmethod
    def find(cls, index: str, *values: Any) -> list[Self]:
        """The rows whose indexed columns equal `values`, ordered by key; fewer values are a prefix. At most 10,000."""
        return [cls(*row) for row in cls._table.find(index, values)]

    @classmethod
    def delete(cls, *key: Any) -> None:
        """Deletes the row with this key, if there is one."""
        cls._table.delete(cls._table.checked_key(key))

    def put(self) -> None:
        """Inserts the row or replaces the one with its key."""
        table = self._table
        table.put(tuple([cell.checked(getattr(self, cell.name)) for cell in table.cells]))


class Event:
    """An event as a function of a projection gets it."""

    def __init__(self, recorded: events.Event):
        self._recorded = recorded
        self.id: str = recorded.id
        self.stream: str = recorded.stream
        self.version: int = recorded.version
        self.position: int = recorded.position
        self.event_type: str = recorded.event_type
        self.schema_version: int = recorded.schema_version
        #: Microseconds since 1970-01-01T00:00:00Z.
        self.time: int = recorded.time
        self.content_type: str = recorded.content_type
        #: As it came: JSON text, or base64 when the content type is not JSON.
        self.data_text: str = recorded.data
        self.metadata_text: str = recorded.metadata

    @property
    def category(self) -> str:
        """The part of the stream's name before its first `-`."""
        return self.stream.partition("-")[0]

    @property
    def aggregate_id(self) -> str:
        """The part of the stream's name behind its first `-`; empty if it has none."""
        return self.stream.partition("-")[2]

    @cached_property
    def data(self) -> Any:
        """What the JSON says, or the bytes when the content type is not JSON."""
        media_type = self.content_type.partition(";")[0].strip().lower()
        if media_type == "application/json" or media_type.endswith("+json"):
            return json.loads(self.data_text)
        return base64.b64decode(self.data_text)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        return json.loads(self.metadata_text)


class _Handler:
    """A function for events of one type. Its parameters behind the event are fields of the data."""

    def __init__(self, event_type: str, function: Callable[..., None]):
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__name__} is async: a projection cannot wait")
        self.function = function
        hints = typing.get_type_hints(function)
        _, *parameters = inspect.signature(function).parameters.values()
        cells = [_Cell(f"{event_type}.{field.name}", field.name, hints.get(field.name)) for field in parameters]
        defaults = [None if field.default is field.empty else field.default for field in parameters]
        self.fields = list(zip(cells, defaults))

    def apply(self, event: Event) -> None:
        if not self.fields:
            self.function(event)
            return
        data = event.data
        if type(data) is not dict:
            raise Refused(f"the data of {event.event_type} must be an object, not {_shown(data)}")
        self.function(event, *[cell.checked(data.get(cell.name, default)) for cell, default in self.fields])


class Projection:
    """What a plugin does: its name, its tables, and a function for each event type."""

    def __init__(
        self, name: str, *, tables: Sequence[type[Row]], categories: Sequence[str] = (), read_model_version: int = 1
    ):
        self._name, self._read_model_version, self._categories = name, read_model_version, categories
        self._tables = [row._table for row in tables]
        self._handlers: dict[str, _Handler] = {}

    def on(self, *event_types: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Gives events of these types to the function: the event, and each parameter behind it from the field
        of the same name. A field that is missing or does not fit its annotation refuses the event. `"*"` stands
        for every type that no other function takes."""

        def register(function: Callable[..., None]) -> Callable[..., None]:
            for event_type in event_types:
                if event_type in self._handlers:
                    raise TypeError(f"two functions take the event type {event_type}")
                self._handlers[event_type] = _Handler(event_type, function)
            _keep_source(function)
            return function

        return register

    def describe(self) -> schema.ProjectionDescription:
        event_types = [] if "*" in self._handlers else list(self._handlers)
        interests = [events.Interest(category, event_types) for category in self._categories or [None]]
        tables = [table.description() for table in self._tables]
        return schema.ProjectionDescription(self._name, self._read_model_version, interests, tables)

    def apply(self, batch: list[events.Event]) -> None:
        try:
            for recorded in batch:
                handler = self._handlers.get(recorded.event_type) or self._handlers["*"]
                handler.apply(Event(recorded))
        except Refused as refused:
            raise Err(str(refused)) from None
        except Exception as bug:
            raise Err(_traceback(bug)) from None
        for table in self._tables:
            table.end_batch()


def _keep_source(function: Callable[..., None]) -> None:
    """Tracebacks show source lines, and there are no files once the plugin runs."""
    path = function.__code__.co_filename
    lines = linecache.getlines(path)
    linecache.cache[path] = (sum(map(len, lines)), None, lines, path)


def _traceback(bug: Exception) -> str:
    """From the author's function on."""
    start = bug.__traceback__
    while start and start.tb_next and start.tb_frame.f_code.co_filename == __file__:
        start = start.tb_next
    return "".join(traceback.format_exception(type(bug), bug, start, limit=-10))


class _Log(logging.Handler):
    """The lines of the module `logging`, in Lantern's log."""

    def emit(self, record: logging.LogRecord) -> None:
        levels = {logging.DEBUG: log.Level.DEBUG, logging.INFO: log.Level.INFO, logging.WARNING: log.Level.WARN}
        log.log(levels.get(record.levelno, log.Level.ERROR), self.format(record))


logging.basicConfig(handlers=[_Log()], level=logging.DEBUG, format="%(message)s")
