// One event of the log.

import { List } from "./host";
import { JsonObject } from "./json";

/** The layout of the contract's `event`. A list, or text, is an address and a length in 8 bytes. */
@unmanaged
class WireEvent {
  id: u64;
  stream: u64;
  version: i64;
  position: i64;
  eventType: u64;
  schemaVersion: u32;
  time: i64;
  contentType: u64;
  data: u64;
  metadata: u64;
}
if (offsetof<WireEvent>("time") != 48) ERROR("the time of an event is at 48");
export const WIRE_EVENT_BYTES: usize = 80;
if (offsetof<WireEvent>() != WIRE_EVENT_BYTES) ERROR("an event has 80 bytes");

/** One event. It is good until the projection's function returns. */
export class Event {
  /** The stream's name, such as `order-42`. */
  readonly stream: string;
  /** What happened, such as `OrderPlaced`. */
  readonly type: string;
  /** What follows the first `-` of the stream's name: `42`. */
  readonly aggregateId: string;

  constructor(private readonly wire: usize) {
    const stream = textAt(wire, offsetof<WireEvent>("stream"));
    const dash = stream.indexOf("-");
    this.stream = stream;
    this.type = textAt(wire, offsetof<WireEvent>("eventType"));
    this.aggregateId = dash < 0 ? "" : stream.substring(dash + 1);
  }

  /** What stands before the first `-` of the stream's name: `order`. */
  get category(): string {
    const dash = this.stream.indexOf("-");
    return dash < 0 ? this.stream : this.stream.substring(0, dash);
  }

  /** A UUID in its hyphenated lower-case form. */
  get id(): string {
    return textAt(this.wire, offsetof<WireEvent>("id"));
  }

  /** Place of the event in its stream, from 1. */
  get version(): i64 {
    return this.fields.version;
  }

  /** Place of the event in the whole log, from 1. */
  get position(): i64 {
    return this.fields.position;
  }

  /** Which shape the data has, from 1. */
  get schemaVersion(): i64 {
    return this.fields.schemaVersion;
  }

  /** When it happened, in microseconds since 1970-01-01T00:00:00Z. */
  get time(): i64 {
    return this.fields.time;
  }

  /** Media type of the data. */
  get contentType(): string {
    return textAt(this.wire, offsetof<WireEvent>("contentType"));
  }

  /** The data as JSON text, or as base64 when the content type is not JSON. */
  get rawData(): string {
    return textAt(this.wire, offsetof<WireEvent>("data"));
  }

  /** The text of a JSON object. */
  get metadata(): string {
    return textAt(this.wire, offsetof<WireEvent>("metadata"));
  }

  /**
   * The JSON data as an object of T, a class marked `@data`. A field that is missing, null or of
   * another type refuses the event, unless the field can be null and its value is; other members of
   * the data are ignored.
   */
  data<T>(): T {
    const text = changetype<List>(this.wire + offsetof<WireEvent>("data"));
    const data = instantiate<T>();
    data.visit<JsonObject>(new JsonObject(this.type, text.address, <usize>text.address + text.length));
    return data;
  }

  private get fields(): WireEvent {
    return changetype<WireEvent>(this.wire);
  }}

function textAt(wire: usize, offset: usize): string {
  return changetype<List>(wire + offset).text;
}
