// What the host offers, as values of this language. Everything that is lent to the host for a call is
// taken back when the call is over.

import { arena } from "./memory";
import { Cell, Values, pack } from "./values";

// @ts-ignore: decorator
@external("lantern:plugin/read-model@0.1.0", "get")
declare function hostGet(table: usize, tableLength: usize, key: usize, keyLength: usize, answer: usize): void;

// @ts-ignore: decorator
@external("lantern:plugin/read-model@0.1.0", "find")
declare function hostFind(
  table: usize,
  tableLength: usize,
  index: usize,
  indexLength: usize,
  values: usize,
  valuesLength: usize,
  limit: u32,
  answer: usize,
): void;

// @ts-ignore: decorator
@external("lantern:plugin/read-model-writes@0.1.0", "put-many")
declare function hostPutMany(table: usize, tableLength: usize, rows: usize, rowsLength: usize): void;

// @ts-ignore: decorator
@external("lantern:plugin/read-model-writes@0.1.0", "delete")
declare function hostDelete(table: usize, tableLength: usize, key: usize, keyLength: usize): void;

// @ts-ignore: decorator
@external("lantern:plugin/log@0.1.0", "log")
declare function hostLog(level: u32, message: usize, messageLength: usize): void;

/** A list on the wire. */
@unmanaged
export class List {
  address: u32;
  length: u32;

  set(address: usize, length: i32): void {
    this.address = <u32>address;
    this.length = <u32>length;
  }

  setText(text: string): void {
    const length = String.UTF8.byteLength(text);
    const to = arena.allocate(length, 1);
    String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, to, false, String.UTF8.ErrorMode.REPLACE);
    this.set(to, length);
  }

  get text(): string {
    return String.UTF8.decodeUnsafe(this.address, this.length);
  }

  /** The values of a row that the host answered. */
  get values(): Values {
    pack.start();
    for (let i: u32 = 0; i < this.length; i++) pack.cell(changetype<Cell>(<usize>this.address + 16 * i), 0);
    return pack.finish();
  }
}
if (offsetof<List>() != 8) ERROR("a list has 8 bytes");

/** A new text on the wire. */
function lent(text: string): List {
  const list = changetype<List>(arena.allocate(8, 4));
  list.setText(text);
  return list;
}

function lower(values: Values): usize {
  const cells = arena.allocate(16 * values.count, 8);
  values.lower(cells);
  return cells;
}

export function get(table: string, key: Values): Values | null {
  const mark = arena.mark();
  const name = lent(table);
  const answer = arena.allocate(12, 4);
  hostGet(name.address, name.length, lower(key), key.count, answer);
  const row = load<u8>(answer) ? changetype<List>(answer + 4).values : null;
  arena.release(mark);
  return row;
}

export function find(table: string, index: string, values: Values, limit: u32): Values[] {
  const mark = arena.mark();
  const name = lent(table);
  const indexName = lent(index);
  const answer = changetype<List>(arena.allocate(8, 4));
  hostFind(
    name.address,
    name.length,
    indexName.address,
    indexName.length,
    lower(values),
    values.count,
    limit,
    changetype<usize>(answer),
  );
  const rows = new Array<Values>(<i32>answer.length);
  for (let i = 0; i < rows.length; i++) rows[i] = changetype<List>(<usize>answer.address + 8 * i).values;
  arena.release(mark);
  return rows;
}

export function putMany(table: string, rows: Values[]): void {
  const mark = arena.mark();
  const name = lent(table);
  const lists = arena.allocate(8 * rows.length, 4);
  for (let i = 0; i < rows.length; i++) changetype<List>(lists + 8 * i).set(lower(rows[i]), rows[i].count);
  hostPutMany(name.address, name.length, lists, rows.length);
  arena.release(mark);
}

export function remove(table: string, key: Values): void {
  const mark = arena.mark();
  const name = lent(table);
  hostDelete(name.address, name.length, lower(key), key.count);
  arena.release(mark);
}

export function logLine(level: u32, message: string): void {
  const mark = arena.mark();
  const text = lent(message);
  hostLog(level, text.address, text.length);
  arena.release(mark);
}
