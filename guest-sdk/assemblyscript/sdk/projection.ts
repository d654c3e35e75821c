// What an author declares, and how a batch is applied.

import { Event, WIRE_EVENT_BYTES } from "./event";
import { refusal } from "./refusal";
import { nextEvent, tables } from "./table";

/** Turns events into rows: a function of its events and its own rows, nothing else. */
export class Projection {
  /** The name of the projection and of its read model: `[a-z][a-z0-9-]{0,62}`. */
  name: string = "";
  /**
   * Raise it when the rows mean something else than before: Lantern then replays history into a new
   * read model. As long as it stays, changed code goes on from the checkpoint.
   */
  readModelVersion: u32 = 1;
  /** Categories whose events it reads; none: every category. */
  categories: string[] = [];
  /** Event types that it reads; none: every type. */
  eventTypes: string[] = [];
  /** Applies one event; those of a stream come in the order of their versions. */
  apply: (event: Event) => void = (_event: Event) => {};
}

export let projection: Projection = new Projection();

/** Makes the plugin; call it once, at the top level of the first file. */
export function register(it: Projection): void {
  projection = it;
}

/** Applies events that stand on the wire, and hands their rows over. */
export function applyAll(events: usize, count: i32): void {
  for (let i = 0; i < count && refusal === null; i++) {
    nextEvent();
    projection.apply(new Event(events + <usize>i * WIRE_EVENT_BYTES));
  }
  for (let i = 0; i < tables.length && refusal === null; i++) tables[i].flush();
  for (let i = 0; i < tables.length; i++) tables[i].forget();
}
