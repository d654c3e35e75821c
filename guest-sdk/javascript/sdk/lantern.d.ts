// The types of lantern.js: rows, keys and data follow from what `projection` is given.

interface Types {
  /** A whole number below 2^53. Anything else is refused. */
  integer: number;
  /** A finite number. */
  real: number;
  text: string;
  blob: Uint8Array;
  boolean: boolean;
}

/** A type, with `?` when null is allowed. */
export type Type = keyof Types | `${keyof Types}?`;

/** The type of a field in an event's data. */
export type FieldType = Exclude<Type, 'blob' | 'blob?'>;

type ValueOf<T> = T extends `${infer Base extends keyof Types}?`
  ? Types[Base] | null
  : T extends keyof Types
    ? Types[T]
    : never;

type Values<Cells> = { -readonly [Name in keyof Cells]: ValueOf<Cells[Name]> };

export interface TableDeclaration {
  /** The column, or the columns, that identify a row. */
  readonly key: string | readonly string[];
  readonly columns: { readonly [column: string]: Type };
  readonly indexes?: { readonly [index: string]: readonly string[] };
}

/** A row of the table declared as `D`. */
export type Row<D extends TableDeclaration> = Values<D['columns']>;

type Required<D extends TableDeclaration> = {
  [Name in keyof D['columns'] as null extends ValueOf<D['columns'][Name]> ? never : Name]: unknown;
};

/** A row to put: nullable columns may be left out. */
export type NewRow<D extends TableDeclaration> = Partial<Row<D>> & Pick<Row<D>, keyof Required<D> & keyof Row<D>>;

type Cells<D extends TableDeclaration, Names extends readonly unknown[]> = Names extends readonly [infer Name, ...infer Rest]
  ? [ValueOf<D['columns'][Name & string]>, ...Cells<D, Rest>]
  : [];

/** The values of the columns that identify a row. */
export type Key<D extends TableDeclaration> = D['key'] extends readonly string[] ? Cells<D, D['key']> : Cells<D, [D['key']]>;

type Indexed<D extends TableDeclaration, Columns> = Columns extends readonly unknown[] ? Partial<Cells<D, Columns>> : [];

/** The rows of one table. What it returns are copies: only `put` changes a row. */
export interface Table<D extends TableDeclaration> {
  get(...key: Key<D>): Row<D> | undefined;
  /** The row, or one with this key and null, 0, '', false or no bytes in its other columns. */
  getOrDefault(...key: Key<D>): Row<D>;
  /** Inserts the row or replaces the one with its key. */
  put(row: NewRow<D>): void;
  delete(...key: Key<D>): void;
  /** The rows whose indexed columns equal `values`, ordered by key; fewer values are a prefix. At most 10,000. */
  find<Index extends keyof D['indexes']>(index: Index, ...values: Indexed<D, D['indexes'][Index]>): Row<D>[];
}

/** An event whose data has the fields `F`. */
export interface Event<F = {}> {
  /** UUID, hyphenated and in lower case. */
  readonly id: string;
  readonly stream: string;
  /** The part of the stream's name before its first `-`. */
  readonly category: string;
  /** The part of the stream's name behind its first `-`; empty if it has none. */
  readonly aggregateId: string;
  /** Place of the event in its stream; the first is 1. */
  readonly version: number;
  /** Place of the event in the whole log; the first is 1. */
  readonly position: number;
  readonly eventType: string;
  readonly schemaVersion: number;
  /** Microseconds since 1970-01-01T00:00:00Z. */
  readonly time: number;
  readonly contentType: string;
  /** Its declared fields are checked, others are not. A `Uint8Array` when the content type is not JSON. */
  readonly data: keyof F extends never ? unknown : Values<F> & { readonly [field: string]: unknown };
  /** As it came: JSON text, or base64 when the content type is not JSON. */
  readonly dataText: string;
  readonly metadata: { readonly [field: string]: unknown };
  readonly metadataText: string;
}

type Tables<T extends { readonly [table: string]: TableDeclaration }> = { readonly [Name in keyof T]: Table<T[Name]> };

export interface Declaration<
  T extends { readonly [table: string]: TableDeclaration },
  E extends { readonly [eventType: string]: { readonly [field: string]: FieldType } },
> {
  readonly name: string;
  /** Raise it to have Lantern replay history into a new read model. 1 if left out. */
  readonly readModelVersion?: number;
  /** Categories of streams to read; all of them if left out. */
  readonly categories?: readonly string[];
  readonly tables: T;
  /** The event types to read and the fields of their data. `'*'` stands for every other type. */
  readonly events: E;
  /** What an event changes. An error says why it cannot be applied. */
  readonly apply: { readonly [Name in keyof E]: (event: Event<E[Name]>, tables: Tables<T>) => void };
}

/** The exports of a plugin: `export const { describe, apply } = projection({ ... })`. */
export function projection<
  const T extends { readonly [table: string]: TableDeclaration },
  const E extends { readonly [eventType: string]: { readonly [field: string]: FieldType } },
>(declaration: Declaration<T, E>): { describe: () => unknown; apply: (batch: unknown[]) => void };

declare global {
  /** Lines in Lantern's log. */
  var console: Record<'debug' | 'log' | 'info' | 'warn' | 'error', (...values: unknown[]) => void>;
}
