// How many events each stream has.

import { Event, Table, register } from "./lantern-sdk";

/** The events of one stream. */
@row
class {{Name}} {
  @key stream: string = "";
  events: i64 = 0;
  last_type: string = "";
}

const table = new Table<{{Name}}>("{{name_}}");

function apply(event: Event): void {
  const row = table.getOrDefault(event.stream);
  row.events++;
  row.last_type = event.type;
}

register({
  name: "{{name}}",
  readModelVersion: 1,
  categories: [],
  eventTypes: [],
  apply,
});
