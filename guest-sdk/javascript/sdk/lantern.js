// Write a Lantern projection in JavaScript: `projection` turns its declaration into a plugin.

import { find, get } from 'lantern:plugin/read-model@0.1.0';
import * as writes from 'lantern:plugin/read-model-writes@0.1.0';
import { log } from 'lantern:plugin/log@0.1.0';

const MAX_FOUND_ROWS = 10_000;

/** What a value of each type must be, its default, and `take`, which answers `undefined` to what does not fit. */
const TYPES = {
  integer: { must: 'a whole number below 2^53', zero: 0, take: (value) => numberIf(Number.isSafeInteger, value) },
  real: { must: 'a finite number', zero: 0, take: (value) => numberIf(Number.isFinite, value) },
  text: {
    must: 'text of whole Unicode characters',
    zero: '',
    take: (value) => (typeof value === 'string' && value.isWellFormed() ? value : undefined),
  },
  blob: {
    must: 'a Uint8Array',
    zero: new Uint8Array(),
    take: (value) => (value instanceof Uint8Array ? value.slice() : undefined),
  },
  boolean: {
    must: 'true or false',
    zero: false,
    take: (value) => (typeof value === 'boolean' ? value : undefined),
  },
};

function numberIf(fits, value) {
  if (typeof value === 'bigint') value = Number(value);
  return fits(value) ? value : undefined;
}

/**
 * The exports of a plugin: `export const { describe, apply } = projection({ ... })`.
 *
 * `events` declares the event types to read and the fields of their data, `apply` holds a function
 * for each of them. It gets the event and the tables, and throws an `Error` when the event cannot
 * be applied. The event type `'*'` stands for every other type.
 */
export function projection({ name, readModelVersion = 1, categories = [], tables, events, apply }) {
  const declared = Object.entries(tables).map(([table, declaration]) => new Declaration(table, declaration));
  const handlers = new Map(Object.entries(events).map(([type, fields]) => [type, new Handler(type, fields, apply)]));
  const undeclared = Object.keys(apply).find((type) => !handlers.has(type));
  if (undeclared) throw new Error(`events does not declare the event type ${undeclared}`);
  const eventTypes = handlers.has('*') ? [] : [...handlers.keys()];
  const interests = (categories.length ? categories : [null]).map((category) => ({ category, eventTypes }));
  const description = { name, readModelVersion, interests, tables: declared.map((table) => table.describe()) };
  return {
    describe: () => description,
    apply(batch) {
      const rows = Object.fromEntries(declared.map((table) => [table.name, new Table(table)]));
      try {
        for (const recorded of batch) (handlers.get(recorded.eventType) ?? handlers.get('*')).apply(recorded, rows);
      } catch (error) {
        throw reason(error);
      }
      for (const table of Object.values(rows)) table.flush();
    },
  };
}

/** What is to be done with events of one type. */
class Handler {
  #fields;
  #function;

  constructor(type, fields, functions) {
    this.#fields = Object.entries(fields).map(([field, kind]) => new Cell(`${type}.${field}`, field, kind));
    this.#function = functions[type];
    if (!this.#function) throw new Error(`there is no function for the event type ${type}`);
  }

  apply(recorded, rows) {
    if (this.#function(new Event(recorded, this.#fields), rows) instanceof Promise) {
      throw new Error(`the function for ${recorded.eventType} is async: a projection cannot wait`);
    }
  }
}

/** A bug is told with its stack, an author's error in the author's words. */
function reason(error) {
  const bugs = [TypeError, ReferenceError, RangeError, SyntaxError, InternalError];
  return bugs.some((bug) => error instanceof bug) ? `${error}\n${error.stack}` : String(error?.message ?? error);
}

/** An event as a function of `apply` gets it. */
class Event {
  #recorded;
  #fields;
  #data;

  constructor(recorded, fields) {
    this.#recorded = recorded;
    this.#fields = fields;
  }

  get id() { return this.#recorded.id; }
  get stream() { return this.#recorded.stream; }
  get version() { return this.#recorded.version; }
  get position() { return this.#recorded.position; }
  get eventType() { return this.#recorded.eventType; }
  get schemaVersion() { return this.#recorded.schemaVersion >>> 0; } // the engine takes a u32 for signed
  get contentType() { return this.#recorded.contentType; }
  /** As it came: JSON text, or base64 when the content type is not JSON. */
  get dataText() { return this.#recorded.data; }
  get metadataText() { return this.#recorded.metadata; }

  /** The part of the stream's name before its first `-`. */
  get category() {
    const dash = this.stream.indexOf('-');
    return dash < 0 ? this.stream : this.stream.slice(0, dash);
  }

  /** The part of the stream's name behind its first `-`; empty if it has none. */
  get aggregateId() {
    const dash = this.stream.indexOf('-');
    return dash < 0 ? '' : this.stream.slice(dash + 1);
  }

  /** Microseconds since 1970-01-01T00:00:00Z. */
  get time() {
    const { time } = this.#recorded;
    if (!Number.isSafeInteger(time)) throw new Error(`the time of the event, ${time} us, is beyond 2^53`);
    return time;
  }

  /** What the JSON says, its declared fields checked; or the bytes when the content type is not JSON. */
  get data() {
    this.#data ??= isJson(this.contentType) ? this.#checked(parse(this.dataText)) : Uint8Array.fromBase64(this.dataText);
    return this.#data;
  }

  get metadata() {
    return parse(this.metadataText);
  }

  #checked(data) {
    if (this.#fields.length === 0) return data;
    if (typeof data !== 'object' || data === null || Array.isArray(data)) {
      throw new Error(`the data of ${this.eventType} must be an object, not ${shown(data)}`);
    }
    for (const field of this.#fields) data[field.name] = field.checked(data[field.name]);
    return data;
  }
}

function isJson(contentType) {
  return contentType === 'application/json' || /^(application\/json|[^;]*\+json)\s*(;|$)/i.test(contentType);
}

/** Whole numbers beyond 2^53 become a BigInt. They have at least 16 digits. */
function parse(text) {
  return /\d{16}/.test(text) ? JSON.parse(text, exactNumber) : JSON.parse(text);
}

function exactNumber(_, value, { source }) {
  const loses = typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
  return loses ? BigInt(source) : value;
}

/** A table as it was declared, checked while the plugin is built. */
class Declaration {
  constructor(name, { key, columns, indexes = {} }) {
    this.name = name;
    this.columns = Object.entries(columns).map(([column, type]) => new Cell(`${name}.${column}`, column, type));
    this.key = this.#named([key].flat());
    this.indexes = new Map(Object.entries(indexes).map(([index, of]) => [index, this.#named(of)]));
    this.defaults = Object.fromEntries(this.columns.map(({ name, zero }) => [name, zero]));
    this.blobs = this.columns.filter((column) => column.type === 'blob').map((column) => column.name);
  }

  #named(names) {
    return names.map((name) => {
      const column = this.columns.find((column) => column.name === name);
      if (!column) throw new Error(`table ${this.name} has no column ${name}`);
      return column;
    });
  }

  describe() {
    const names = (columns) => columns.map((column) => column.name);
    return {
      name: this.name,
      columns: this.columns.map(({ name, type, nullable }) => ({ name, columnType: type, nullable })),
      primaryKey: names(this.key),
      indexes: [...this.indexes].map(([name, columns]) => ({ name, columns: names(columns) })),
    };
  }

  checked(columns, values) {
    if (values.length !== columns.length) {
      const names = columns.map((column) => column.name).join(', ');
      throw new TypeError(`table ${this.name}: expected values for ${names}, got ${values.length} values`);
    }
    return columns.map((column, place) => column.checked(values[place]));
  }

  decoded(cells) {
    const row = {};
    this.columns.forEach((column, place) => (row[column.name] = column.decoded(cells[place])));
    return row;
  }

  refuseUnknown(row) {
    const unknown = Object.keys(row).find((field) => !(field in this.defaults));
    if (unknown !== undefined) throw new TypeError(`table ${this.name} has no column ${unknown}`);
  }
}

/** A column of a table or a field of an event: what it is called in errors, its name, and a type as in `text?`. */
class Cell {
  constructor(place, name, type) {
    this.place = place;
    this.name = name;
    this.nullable = type.endsWith('?');
    this.type = type.replace('?', '');
    const known = TYPES[this.type];
    if (!known) throw new Error(`${place}: ${type} is no type: ${Object.keys(TYPES).join(', ')}`);
    this.take = known.take;
    this.must = known.must;
    this.zero = this.nullable ? null : known.zero;
  }

  /** The value as it is kept; an error if it does not fit. */
  checked(value) {
    return this.take(value) ?? this.nullFor(value);
  }

  nullFor(value) {
    if (value == null && this.nullable) return null;
    throw new Error(`${this.place} must be ${this.must}, not ${shown(value)}`);
  }

  encoded(value) {
    return value === null ? { tag: 'null' } : { tag: this.type, val: value };
  }

  decoded({ val = null }) {
    if (this.type === 'integer' && val !== null && !Number.isSafeInteger(val)) {
      throw new Error(`${this.place} holds about ${val}: JavaScript cannot read whole numbers beyond 2^53`);
    }
    return val;
  }
}

function shown(value) {
  const text = typeof value === 'object' || typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}

/** The rows of one table while one batch is applied. What `get` and `find` return are copies. */
class Table {
  #declared;
  /** Rows by key; null: there is none. */
  #rows = new Map();
  #changed = new Set();

  constructor(declared) {
    this.#declared = declared;
  }

  get(...key) {
    const row = this.#load(key);
    return row === null ? undefined : this.#copy(row);
  }

  /** The row, or one with this key and null, 0, '', false or no bytes in its other columns. */
  getOrDefault(...key) {
    const row = this.#load(key);
    if (row !== null) return this.#copy(row);
    const fresh = { ...this.#declared.defaults };
    this.#declared.key.forEach((column, place) => (fresh[column.name] = column.checked(key[place])));
    return fresh;
  }

  /** Inserts the row or replaces the one with its key. Nullable columns may be left out. */
  put(row) {
    const { columns, key } = this.#declared;
    const kept = {};
    let present = 0;
    for (let index = 0; index < columns.length; index += 1) {
      const column = columns[index];
      const value = row[column.name];
      kept[column.name] = column.take(value) ?? column.nullFor(value);
      if (value !== undefined) present += 1;
    }
    if (Object.keys(row).length > present) this.#declared.refuseUnknown(row);
    const place = key.length === 1 ? cacheKey([kept[key[0].name]]) : cacheKey(key.map(({ name }) => kept[name]));
    this.#rows.set(place, kept);
    this.#changed.add(place);
  }

  delete(...key) {
    const { name, key: columns } = this.#declared;
    const checked = this.#declared.checked(columns, key);
    const place = cacheKey(checked);
    this.#rows.set(place, null);
    this.#changed.delete(place);
    writes.delete(name, encoded(columns, checked));
  }

  /** The rows whose indexed columns equal `values`, ordered by key; fewer values are a prefix. At most 10,000. */
  find(index, ...values) {
    const { name, indexes } = this.#declared;
    const columns = indexes.get(index);
    if (!columns) throw new TypeError(`table ${name} has no index ${index}`);
    const asked = columns.slice(0, values.length);
    const wanted = encoded(asked, this.#declared.checked(asked, values));
    this.flush();
    return find(name, index, wanted, MAX_FOUND_ROWS).map((cells) => this.#declared.decoded(cells));
  }

  /** Hands the changed rows over. */
  flush() {
    if (this.#changed.size === 0) return;
    const { name, columns } = this.#declared;
    const rows = [...this.#changed].map((place) => {
      const row = this.#rows.get(place);
      return columns.map((column) => column.encoded(row[column.name]));
    });
    writes.putMany(name, rows);
    this.#changed.clear();
  }

  #load(key) {
    const { name, key: columns } = this.#declared;
    let row = key.length === 1 && columns.length === 1 ? this.#rows.get(key[0]) : undefined;
    if (row !== undefined) return row;
    const checked = this.#declared.checked(columns, key);
    const place = cacheKey(checked);
    row = this.#rows.get(place);
    if (row === undefined) {
      const cells = get(name, encoded(columns, checked));
      row = cells === null ? null : this.#declared.decoded(cells);
      this.#rows.set(place, row);
    }
    return row;
  }

  #copy(row) {
    const copy = { ...row };
    for (const column of this.#declared.blobs) copy[column] &&= copy[column].slice();
    return copy;
  }
}

function encoded(columns, values) {
  return values.map((value, place) => columns[place].encoded(value));
}

/** A key as a key of a Map. */
function cacheKey(key) {
  return key.length > 1 || key[0] instanceof Uint8Array ? JSON.stringify(key) : key[0];
}

/** Lines in Lantern's log. */
const say = (level) => (...values) => log(level, values.map((value) => (typeof value === 'string' ? value : shown(value))).join(' '));
globalThis.console = { debug: say('debug'), log: say('info'), info: say('info'), warn: say('warn'), error: say('error') };

/** Its numbers would differ from build to build. */
Math.random = () => {
  throw new Error('a projection has no randomness: a replay must give the same rows');
};
