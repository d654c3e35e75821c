// Write a Lantern conflict resolver in JavaScript: `conflictResolver` turns its declaration into a plugin.

import { log } from 'lantern:plugin/log@0.1.0';

/** Append the proposed events as they are. */
export const accept = () => ({ tag: 'accept' });

/** Append these instead, at least one: see `rewritten` and `unchanged` of a proposed event. */
export const rewrite = (events) => ({ tag: 'rewrite', val: events });

/** Append nothing; the writer gets the conflict and this reason. */
export const reject = (reason) => ({ tag: 'reject', val: String(reason) });

/**
 * The exports of a plugin: `export const { describe, resolve } = conflictResolver({ ... })`.
 *
 * `resolve` gets the conflict and answers `accept()`, `rewrite([...])` or `reject('why')`. An error that it throws
 * rejects too, and the writer reads its message.
 */
export function conflictResolver({ name, categories, resolve }) {
  return {
    describe: () => ({ name, categories }),
    resolve({ stream, expected, actual, unseen, proposed }) {
      try {
        return resolve({
          stream,
          aggregateId: stream.slice(stream.indexOf('-') + 1 || stream.length),
          expected,
          actual,
          unseen: unseen.map((event) => new Event(event)),
          proposed: proposed.map((event) => new Proposed(event)),
        });
      } catch (error) {
        const isBug = [TypeError, ReferenceError, RangeError, SyntaxError].some((bug) => error instanceof bug);
        throw isBug ? `${error}\n${error.stack}` : String(error?.message ?? error);
      }
    },
  };
}

/** An event that the writer had not seen. */
class Event {
  #data;

  constructor(raw) {
    this.raw = raw;
  }

  get id() { return this.raw.id; }
  get eventType() { return this.raw.eventType; }
  get schemaVersion() { return this.raw.schemaVersion >>> 0; } // the engine takes a u32 for signed
  /** Microseconds since 1970-01-01T00:00:00Z. */
  get time() { return this.raw.time; }
  /** Of an event that is in its stream; the first is 1. */
  get version() { return this.raw.version; }
  get metadata() { return JSON.parse(this.raw.metadata); }

  /** What the JSON says. */
  get data() {
    if (this.#data === undefined && !/^(application\/json|[^;]*\+json)\s*(;|$)/i.test(this.raw.contentType)) {
      throw new Error(`${this.eventType}: its data is ${this.raw.contentType}, which this resolver does not read`);
    }
    return (this.#data ??= JSON.parse(this.raw.data));
  }
}

/** An event that the writer wants appended. */
class Proposed extends Event {
  /** An event of its own in the place of this one, with the same time and metadata. Lantern makes its id. */
  rewritten(eventType, data) {
    return { ...this.raw, id: '', eventType, data: JSON.stringify(data) };
  }

  /** The event as it was proposed, to stand beside others. */
  unchanged() {
    return this.raw;
  }
}

const say = (level) => (...values) => log(level, values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(' '));
globalThis.console = { debug: say('debug'), log: say('info'), info: say('info'), warn: say('warn'), error: say('error') };
