// Tables, and their rows in the batch that is being applied.

import { find, get, putMany, remove } from "./host";
import { Column, Columns, RowReader, RowWriter } from "./columns";
import { refuse } from "./refusal";
import { Values, asValues, pack } from "./values";

/** The most rows that one `find` answers. */
export const MAX_FOUND: i32 = 10_000;

/** What is known of one primary key. */
class Entry<R> {
  /** Null when there is no row or, unless `known`, nobody asked yet. */
  row: R | null = null;
  known: bool = false;
  /** The row as the host has it; null when it has none or that is not known. */
  stored: Values | null = null;
  /** The host has no row. */
  absent: bool = false;
  /** The last event that asked for the row; 0 when it is not in `touched`. */
  event: i32 = 0;

  constructor(readonly key: Values) {}
}

/** An index as it is declared. */
export class IndexDeclaration {
  constructor(
    readonly name: string,
    readonly columns: string[],
  ) {}
}

/** What the wrapper does with a table of any row. */
export abstract class AnyTable {
  indexes: IndexDeclaration[] = [];

  constructor(
    readonly name: string,
    readonly columns: Column[],
  ) {
    tables.push(this);
  }

  abstract flush(): void;
  abstract forget(): void;
}

export const tables: AnyTable[] = [];

let currentEvent = 0;

export function nextEvent(): void {
  currentEvent++;
}

/**
 * A table of the read model, whose rows are objects of R, a class marked `@row`.
 *
 * Rows are kept until the end of the batch: change the objects that the methods return, there is no
 * call to save them. A read sees every write made before it. A key of several columns is written
 * `values(city).and(street)`.
 */
export class Table<R> extends AnyTable {
  private cache: Map<string, Entry<R>> = new Map();
  /** Entries that may differ from what the host has. */
  private touched: Entry<R>[] = [];

  constructor(name: string) {
    super(name, columnsOf<R>());
  }

  /** Declares an index over columns of the table. */
  index(name: string, columns: string[]): Index<R> {
    this.indexes.push(new IndexDeclaration(name, columns));
    return new Index<R>(this, name);
  }

  /** The row with this primary key, or null. */
  get<K>(key: K): R | null {
    return this.fetch(asValues<K>(key)).row;
  }

  /** The row with this primary key. If there is none, a new one is inserted, as its class makes it. */
  getOrDefault<K>(key: K): R {
    const entry = this.fetch(asValues<K>(key));
    if (entry.row === null) {
      const row = instantiate<R>();
      row.visit<RowReader>(new RowReader(entry.key, true));
      entry.row = row;
    }
    return entry.row!;
  }

  /** Inserts the row, or replaces the one with the same primary key. */
  put(row: R): void {
    const entry = this.touch(this.keyOf(this.pack(row)));
    entry.known = true;
    entry.row = row;
  }

  /** Deletes the row with this primary key, if there is one. */
  delete<K>(key: K): void {
    const entry = this.touch(asValues<K>(key));
    entry.known = true;
    entry.row = null;
  }

  /** What `Index.find` does. */
  found(index: string, values: Values, limit: i32): R[] {
    this.flush();
    const rows = find(this.name, index, values, min(limit, MAX_FOUND));
    const found = new Array<R>();
    for (let i = 0; i < rows.length; i++) {
      const entry = this.touch(this.keyOf(rows[i]));
      if (entry.row === null) this.fill(entry, rows[i]);
      found.push(entry.row!);
    }
    return found;
  }

  /** Hands changed rows to the host. Those of the current event may change again later. */
  flush(): void {
    const changed: Values[] = [];
    const touched = this.touched;
    this.touched = [];
    for (let i = 0; i < touched.length; i++) {
      const entry = touched[i];
      const row = entry.row;
      if (row === null) {
        if (!entry.absent) remove(this.name, entry.key);
        entry.stored = null;
        entry.absent = true;
      } else {
        const packed = this.pack(row);
        if (!packed.equals(entry.stored)) {
          if (!this.keyOf(packed).equals(entry.key)) refuse(`table ${this.name}: the key of a row was changed`);
          entry.stored = packed;
          entry.absent = false;
          changed.push(packed);
        }
      }
      if (entry.event == currentEvent) this.touched.push(entry);
      else entry.event = 0;
    }
    if (changed.length) putMany(this.name, changed);
  }

  forget(): void {
    this.cache = new Map();
    this.touched = [];
  }

  private touch(key: Values): Entry<R> {
    const name = key.name();
    let entry: Entry<R>;
    if (this.cache.has(name)) {
      entry = this.cache.get(name);
    } else {
      entry = new Entry<R>(key);
      this.cache.set(name, entry);
    }
    if (entry.event == 0) this.touched.push(entry);
    entry.event = currentEvent;
    return entry;
  }

  private fetch(key: Values): Entry<R> {
    const entry = this.touch(key);
    if (entry.known) return entry;
    const stored = get(this.name, key);
    if (stored !== null) this.fill(entry, stored);
    else entry.known = entry.absent = true;
    return entry;
  }

  private fill(entry: Entry<R>, stored: Values): void {
    const row = instantiate<R>();
    row.visit<RowReader>(new RowReader(stored, false));
    entry.row = row;
    entry.stored = stored;
    entry.known = true;
    entry.absent = false;
  }

  private pack(row: R): Values {
    pack.start();
    row.visit<RowWriter>(new RowWriter(this.name));
    return pack.finish();
  }

  private keyOf(row: Values): Values {
    pack.start();
    for (let i = 0; i < row.count; i++) {
      if (this.columns[i].isKey) pack.cell(row.at(i), changetype<usize>(row.bytes));
    }
    return pack.finish();
  }
}

/** Finds rows by columns that are not their key. */
export class Index<R> {
  constructor(
    private readonly table: Table<R>,
    private readonly name: string,
  ) {}

  /**
   * The rows whose indexed columns equal `given`, ordered by primary key, at most `limit` and never
   * more than 10,000. `given` may be fewer values than the index has columns: the first ones then.
   */
  find<V>(given: V, limit: i32 = MAX_FOUND): R[] {
    return this.table.found(this.name, asValues<V>(given), limit);
  }
}

function columnsOf<R>(): Column[] {
  const columns = new Columns();
  instantiate<R>().visit<Columns>(columns);
  return columns.found;
}
