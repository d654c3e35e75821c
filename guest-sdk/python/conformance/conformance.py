"""The projection of the conformance suite: it uses every part of the SDK."""

from dataclasses import replace

from lantern import Event, Projection, Refused, Row


class Thing(Row, table="things", key="id", indexes={"things_by_group": ["group_name", "flag"]}):
    id: str
    group_name: str
    whole: int | None
    fraction: float | None
    note: str | None
    bytes: bytes | None
    flag: bool | None
    changes: int


class Group(Row, table="groups", key=["group_name", "selection"]):
    group_name: str
    selection: str
    members: int
    total: int
    ids: str


class Echo(Row, table="echoes", key="position"):
    position: int
    id: str
    stream: str
    category: str
    aggregate_id: str
    version: int
    event_type: str
    schema_version: int
    time: int
    content_type: str
    data: str
    metadata: str


projection = Projection("conformance", read_model_version=1, categories=["thing"], tables=[Thing, Group, Echo])


def from_hex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def there(event: Event) -> Thing:
    thing = Thing.get(event.aggregate_id)
    if thing is None:
        raise Refused(f"thing {event.aggregate_id} is not there")
    return thing


@projection.on("ThingStored")
def stored(
    event: Event,
    group: str,
    whole: int | None,
    fraction: float | None,
    note: str | None,
    bytes: str | None,
    flag: bool | None,
):
    before = Thing.get(event.aggregate_id)
    changes = before.changes + 1 if before else 1
    Thing(event.aggregate_id, group, whole, fraction, note, from_hex(bytes), flag, changes).put()


@projection.on("ThingTouched")
def touched(event: Event):
    thing = Thing.get_or_default(event.aggregate_id)
    thing.changes += 1
    thing.put()


@projection.on("ThingCopied")
def copied(event: Event, to: str):
    replace(there(event), id=to, changes=1).put()


@projection.on("ThingRemoved")
def removed(event: Event):
    Thing.delete(there(event).id)


@projection.on("GroupCounted")
def counted(event: Event, group: str):
    for selection, values in ("all", [group]), ("flagged", [group, True]):
        found = Thing.find("things_by_group", *values)
        total = sum(thing.whole or 0 for thing in found)
        Group(group, selection, len(found), total, ",".join(thing.id for thing in found)).put()


@projection.on("GroupDissolved")
def dissolved(event: Event, group: str):
    for thing in Thing.find("things_by_group", group):
        Thing.delete(thing.id)
    Group.delete(group, "all")
    Group.delete(group, "flagged")


@projection.on("ThingRefused")
def refused(event: Event, why: str):
    raise Refused(f"refused: {why}")


@projection.on("ThingTrapped")
def trapped(event: Event):
    {}["trapped on purpose"]


@projection.on("ThingEchoed")
def echoed(event: Event):
    Echo(
        position=event.position,
        id=event.id,
        stream=event.stream,
        category=event.category,
        aggregate_id=event.aggregate_id,
        version=event.version,
        event_type=event.event_type,
        schema_version=event.schema_version,
        time=event.time,
        content_type=event.content_type,
        data=event.data_text,
        metadata=event.metadata_text,
    ).put()


@projection.on("*")
def unknown(event: Event):
    raise Refused(f"unknown event type {event.event_type}")
