// The types of conflict-resolver.js. `E` is the type of the events' data, by event type.

interface EventOf<Type, Data> {
  /** UUID, hyphenated and in lower case. */
  readonly id: string;
  readonly eventType: Type;
  readonly schemaVersion: number;
  /** Microseconds since 1970-01-01T00:00:00Z. */
  readonly time: number;
  readonly data: Data;
  readonly metadata: { readonly [field: string]: unknown };
}

interface UnseenOf<Type, Data> extends EventOf<Type, Data> {
  /** Place of the event in its stream; the first is 1. */
  readonly version: number;
}

interface ProposedOf<Type, Data, E> extends EventOf<Type, Data> {
  /** An event of its own in the place of this one, with the same time and metadata. Lantern makes its id. */
  rewritten<Other extends keyof E & string>(eventType: Other, data: E[Other]): NewEvent;
  /** The event as it was proposed, to stand beside others. */
  unchanged(): NewEvent;
}

/** An event that the writer had not seen. */
export type Event<E> = { [Type in keyof E]: UnseenOf<Type, E[Type]> }[keyof E];

/** An event that the writer wants appended. */
export type Proposed<E> = { [Type in keyof E]: ProposedOf<Type, E[Type], E> }[keyof E];

declare const event: unique symbol;
/** What `rewrite` takes. */
export interface NewEvent { readonly [event]: true }

declare const decided: unique symbol;
/** What a resolver answers. */
export interface Resolution { readonly [decided]: true }

export interface Conflict<E> {
  readonly stream: string;
  /** The part of the stream's name behind its first `-`; empty if it has none. */
  readonly aggregateId: string;
  /** The stream version that the writer had seen; 0 when it expected no stream. */
  readonly expected: number;
  /** The newest version. */
  readonly actual: number;
  /** The events from `expected` + 1 to `actual`; at least one. */
  readonly unseen: readonly Event<E>[];
  /** At least one. */
  readonly proposed: readonly Proposed<E>[];
}

/** Append the proposed events as they are. */
export function accept(): Resolution;
/** Append these instead, at least one. */
export function rewrite(events: readonly NewEvent[]): Resolution;
/** Append nothing; the writer gets the conflict and this reason. */
export function reject(reason: string): Resolution;

/** The exports of a plugin: `export const { describe, resolve } = conflictResolver<Events>({ ... })`. */
export function conflictResolver<E>(declaration: {
  readonly name: string;
  /** The categories whose conflicts it decides. No other plugin may decide on one of them. */
  readonly categories: readonly string[];
  /** An error that it throws rejects, and the writer reads its message. */
  readonly resolve: (conflict: Conflict<E>) => Resolution;
}): { describe: () => unknown; resolve: (conflict: never) => unknown };
