// The exports of the world `projection`, by the component model's canonical ABI. To be compiled beside
// the author's first file, which needs to know nothing of it.

import { List } from "./host";
import { arena } from "./memory";
import { applyAll, projection } from "./projection";
import { refusal } from "./refusal";
import { AnyTable, tables } from "./table";
import "./log";

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  const at = arena.allocate(size, align);
  if (oldSize) memory.copy(at, old, min(oldSize, size));
  return at;
}

// Lists of records: each record's size, then its fields at their offsets.

function list(at: usize, count: i32, size: usize): usize {
  const items = arena.allocate(size * count, 4);
  changetype<List>(at).set(items, count);
  return items;
}

function texts(at: usize, texts: string[]): void {
  const items = list(at, texts.length, 8);
  for (let i = 0; i < texts.length; i++) changetype<List>(items + 8 * i).setText(texts[i]);
}

/** An interest: option<string> at 0, list<string> at 12; 20 bytes. */
function interest(at: usize, category: string | null): void {
  store<u8>(at, category === null ? 0 : 1);
  if (category !== null) changetype<List>(at + 4).setText(category);
  texts(at + 12, projection.eventTypes);
}

/** A table: name at 0, columns at 8, primary key at 16, indexes at 24; 32 bytes. */
function table(at: usize, table: AnyTable): void {
  changetype<List>(at).setText(table.name);
  const key: string[] = [];
  // A column: name at 0, type at 8, nullable at 9; 12 bytes. Column types have no null.
  const columns = list(at + 8, table.columns.length, 12);
  for (let i = 0; i < table.columns.length; i++) {
    const column = table.columns[i];
    changetype<List>(columns + 12 * i).setText(column.name);
    store<u8>(columns + 12 * i, column.kind - 1, 8);
    store<u8>(columns + 12 * i, column.isNullable ? 1 : 0, 9);
    if (column.isKey) key.push(column.name);
  }
  texts(at + 16, key);
  // An index: name at 0, columns at 8; 16 bytes.
  const indexes = list(at + 24, table.indexes.length, 16);
  for (let i = 0; i < table.indexes.length; i++) {
    changetype<List>(indexes + 16 * i).setText(table.indexes[i].name);
    texts(indexes + 16 * i + 8, table.indexes[i].columns);
  }
}

/** The description: name at 0, read-model version at 8, interests at 12, tables at 20; 28 bytes. */
export function describe(): usize {
  const at = arena.allocate(28, 4);
  changetype<List>(at).setText(projection.name);
  store<u32>(at, projection.readModelVersion, 8);
  const categories = projection.categories;
  const interests = list(at + 12, max(categories.length, 1), 20);
  if (!categories.length) interest(interests, null);
  for (let i = 0; i < categories.length; i++) interest(interests + 20 * i, categories[i]);
  const declared = list(at + 20, tables.length, 32);
  for (let i = 0; i < tables.length; i++) table(declared + 32 * i, tables[i]);
  return at;
}

export function cabi_post_describe(_answer: usize): void {
  arena.release(0);
}

/** Answers result<_, string>: the case at 0, the text at 4. */
export function apply(events: usize, count: usize): usize {
  applyAll(events, <i32>count);
  const reason = refusal;
  const at = arena.allocate(12, 4);
  store<u8>(at, reason === null ? 0 : 1);
  if (reason !== null) changetype<List>(at + 4).setText(reason);
  return at;
}

export function cabi_post_apply(_answer: usize): void {
  arena.release(0);
}
