// What the conformance suite asks of every language.

import { Box, Event, Table, refuse, register, values } from "../sdk";

@row
class Thing {
  @key id: string = "";
  group_name: string = "";
  whole: Box<i64> | null = null;
  fraction: Box<f64> | null = null;
  note: string | null = null;
  bytes: Uint8Array | null = null;
  flag: Box<bool> | null = null;
  changes: i64 = 0;
}

@row
class Group {
  @key group_name: string = "";
  @key selection: string = "";
  members: i64 = 0;
  total: i64 = 0;
  ids: string = "";
}

@row
class Echo {
  @key position: i64 = 0;
  id: string = "";
  stream: string = "";
  category: string = "";
  aggregate_id: string = "";
  version: i64 = 0;
  event_type: string = "";
  schema_version: i64 = 0;
  time: i64 = 0;
  content_type: string = "";
  data: string = "";
  metadata: string = "";
}

@data
class ThingStored {
  group: string = "";
  whole: Box<i64> | null = null;
  fraction: Box<f64> | null = null;
  note: string | null = null;
  bytes: string | null = null;
  flag: Box<bool> | null = null;
}

@data
class ThingCopied {
  to: string = "";
}

@data
class OfGroup {
  group: string = "";
}

@data
class ThingRefused {
  why: string = "";
}

const things = new Table<Thing>("things");
const thingsByGroup = things.index("things_by_group", ["group_name", "flag"]);
const groups = new Table<Group>("groups");
const echoes = new Table<Echo>("echoes");

function apply(event: Event): void {
  const id = event.aggregateId;
  const type = event.type;
  if (type == "ThingStored") return storeThing(id, event.data<ThingStored>());
  if (type == "ThingTouched") {
    things.getOrDefault(id).changes++;
    return;
  }
  if (type == "ThingCopied") return copyThing(id, event.data<ThingCopied>().to);
  if (type == "ThingRemoved") return things.get(id) === null ? notThere(id) : things.delete(id);
  if (type == "GroupCounted") return countGroup(event.data<OfGroup>().group);
  if (type == "GroupDissolved") return dissolveGroup(event.data<OfGroup>().group);
  if (type == "ThingRefused") return refuse(`refused: ${event.data<ThingRefused>().why}`);
  if (type == "ThingTrapped") throw new Error("trapped on purpose");
  if (type == "ThingEchoed") return echo(event);
  refuse(`unknown event type ${type}`);
}

function storeThing(id: string, stored: ThingStored): void {
  const thing = things.getOrDefault(id);
  thing.group_name = stored.group;
  thing.whole = stored.whole;
  thing.fraction = stored.fraction;
  thing.note = stored.note;
  thing.bytes = fromHex(stored.bytes);
  thing.flag = stored.flag;
  thing.changes++;
}

function fromHex(text: string | null): Uint8Array | null {
  if (text === null) return null;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = U8.parseInt(text.substring(2 * i, 2 * i + 2), 16);
  return bytes;
}

function copyThing(id: string, to: string): void {
  const thing = things.get(id);
  if (thing === null) return notThere(id);
  things.put({
    id: to,
    group_name: thing.group_name,
    whole: thing.whole,
    fraction: thing.fraction,
    note: thing.note,
    bytes: thing.bytes,
    flag: thing.flag,
    changes: 1,
  });
}

function countGroup(name: string): void {
  putGroup(name, "all", thingsByGroup.find(name));
  putGroup(name, "flagged", thingsByGroup.find(values(name).and(true)));
}

function putGroup(group_name: string, selection: string, members: Thing[]): void {
  let total: i64 = 0;
  for (let i = 0; i < members.length; i++) {
    const whole = members[i].whole;
    if (whole !== null) total += whole.value;
  }
  const ids = members.map<string>((thing) => thing.id).join(",");
  groups.put({ group_name, selection, members: members.length, total, ids });
}

function dissolveGroup(name: string): void {
  const members = thingsByGroup.find(name);
  for (let i = 0; i < members.length; i++) things.delete(members[i].id);
  groups.delete(values(name).and("all"));
  groups.delete(values(name).and("flagged"));
}

function echo(event: Event): void {
  echoes.put({
    position: event.position,
    id: event.id,
    stream: event.stream,
    category: event.category,
    aggregate_id: event.aggregateId,
    version: event.version,
    event_type: event.type,
    schema_version: event.schemaVersion,
    time: event.time,
    content_type: event.contentType,
    data: event.rawData,
    metadata: event.metadata,
  });
}

function notThere(id: string): void {
  refuse(`thing ${id} is not there`);
}

register({
  name: "conformance",
  readModelVersion: 1,
  categories: ["thing"],
  eventTypes: [],
  apply,
});
