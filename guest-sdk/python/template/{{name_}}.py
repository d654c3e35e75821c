"""{{Name}}: how many events each stream has."""

from lantern import Event, Projection, Row


class Stream(Row, table="{{name_}}", key="stream"):
    stream: str
    events: int
    last_type: str


projection = Projection("{{name}}", read_model_version=1, tables=[Stream])


@projection.on("*")
def count(event: Event):
    row = Stream.get_or_default(event.stream)
    row.events += 1
    row.last_type = event.event_type
    row.put()
