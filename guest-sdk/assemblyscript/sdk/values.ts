// The values of a row or a key, packed: 16 bytes each in the layout of the contract's `value`, then
// their texts and blobs, whose addresses count from the start. Packed values compare byte by byte.

import { Memory, reserve } from "./memory";

/** The cases of a value, with the numbers they have in the contract. */
export namespace Kind {
  export const Null: u8 = 0;
  export const Integer: u8 = 1;
  export const Real: u8 = 2;
  export const Text: u8 = 3;
  export const Blob: u8 = 4;
  export const Boolean: u8 = 5;
}

/** A number or boolean that may be null: a field of the type `Box<i64> | null`. */
export class Box<T> {
  constructor(public value: T) {}
}

/** One value, in a row or on the wire. */
@unmanaged
export class Cell {
  kind: u8;
  /** The bits of a number or boolean; the address of a text or blob. */
  number: u64;

  get address(): usize {
    return <usize>load<u32>(changetype<usize>(this), 8);
  }
  get length(): usize {
    return <usize>load<u32>(changetype<usize>(this), 12);
  }
  get hasBytes(): bool {
    return this.kind == Kind.Text || this.kind == Kind.Blob;
  }
  setBytes(address: usize, length: usize): void {
    store<u32>(changetype<usize>(this), <u32>address, 8);
    store<u32>(changetype<usize>(this), <u32>length, 12);
  }
}
if (offsetof<Cell>("number") != 8 || offsetof<Cell>() != 16) ERROR("a value has 16 bytes");

/** Packed values. */
export class Values {
  constructor(
    readonly count: i32,
    readonly bytes: StaticArray<u8>,
  ) {}

  /** These values and one more: for a key or an index of several columns. */
  and<T>(value: T): Values {
    return pack.start().all(this).value<T>(value).finish();
  }

  at(place: i32): Cell {
    return changetype<Cell>(changetype<usize>(this.bytes) + 16 * place);
  }

  equals(other: Values | null): bool {
    if (other === null || other.bytes.length != this.bytes.length) return false;
    return memory.compare(changetype<usize>(this.bytes), changetype<usize>(other.bytes), this.bytes.length) == 0;
  }

  /** The bytes as a string, for a Map. */
  name(): string {
    return String.UTF16.decodeUnsafe(changetype<usize>(this.bytes), this.bytes.length);
  }

  /** Writes the cells to `to`, with addresses that the host understands. */
  lower(to: usize): void {
    const from = changetype<usize>(this.bytes);
    memory.copy(to, from, 16 * this.count);
    for (let i = 0; i < this.count; i++) {
      const cell = changetype<Cell>(to + 16 * i);
      if (cell.hasBytes) cell.setBytes(from + cell.address, cell.length);
    }
  }
}

/** Values for a key or an index of several columns: `values(city).and(street)`. */
export function values<T>(first: T): Values {
  return pack.start().value<T>(first).finish();
}

/** `given` itself if it is Values already, else Values of that one. */
export function asValues<T>(given: T): Values {
  if (isReference<T>()) {
    if (idof<nonnull<T>>() == idof<Values>()) return changetype<Values>(changetype<usize>(given));
  }
  return values<T>(given);
}

/** Packs values; there is one for all. */
class Packer {
  private count: i32 = 0;
  private cells: Memory = new Memory();
  private texts: Memory = new Memory();

  start(): Packer {
    this.count = 0;
    this.cells.length = 0;
    this.texts.length = 0;
    return this;
  }

  private add(kind: u8, number: u64): Packer {
    const cell = changetype<Cell>(reserve(this.cells, 16));
    cell.kind = kind;
    cell.number = number;
    this.count++;
    return this;
  }

  private bytes(kind: u8, from: usize, length: usize): Packer {
    const offset = this.texts.length;
    memory.copy(reserve(this.texts, length), from, length);
    return this.add(kind, <u64>offset | (<u64>length << 32));
  }

  private text(text: string): Packer {
    const offset = this.texts.length;
    const length = <usize>String.UTF8.byteLength(text);
    const to = reserve(this.texts, length);
    String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, to, false, String.UTF8.ErrorMode.REPLACE);
    return this.add(Kind.Text, <u64>offset | (<u64>length << 32));
  }

  /** A cell whose address counts from `base`. */
  cell(cell: Cell, base: usize): Packer {
    if (cell.hasBytes) return this.bytes(cell.kind, base + cell.address, cell.length);
    return this.add(cell.kind, cell.number);
  }

  all(values: Values): Packer {
    for (let i = 0; i < values.count; i++) this.cell(values.at(i), changetype<usize>(values.bytes));
    return this;
  }

  value<T>(value: T): Packer {
    if (isBoolean<T>()) return this.add(Kind.Boolean, <u64>value);
    if (isInteger<T>()) return this.add(Kind.Integer, <u64>value);
    if (isFloat<T>()) return this.add(Kind.Real, reinterpret<u64>(<f64>value));
    if (isReference<T>()) {
      if (isNullable<T>() && changetype<usize>(value) == 0) return this.add(Kind.Null, 0);
      if (isString<T>()) return this.text(changetype<string>(changetype<usize>(value)));
      if (idof<nonnull<T>>() == idof<Uint8Array>()) return this.blob(changetype<Uint8Array>(changetype<usize>(value)));
      return this.boxed(changetype<nonnull<T>>(changetype<usize>(value)));
    }
    return this;
  }

  private blob(blob: Uint8Array): Packer {
    return this.bytes(Kind.Blob, blob.dataStart, blob.byteLength);
  }

  private boxed<V>(box: Box<V>): Packer {
    return this.value<V>(box.value);
  }

  finish(): Values {
    const start = this.cells.length;
    // An even length: see Values.name.
    const bytes = new StaticArray<u8>(<i32>((start + this.texts.length + 1) & ~1));
    const packed = new Values(this.count, bytes);
    memory.copy(changetype<usize>(bytes), this.cells.address, start);
    memory.copy(changetype<usize>(bytes) + start, this.texts.address, this.texts.length);
    for (let i = 0; i < this.count; i++) {
      const cell = packed.at(i);
      if (cell.hasBytes) cell.setBytes(start + cell.address, cell.length);
    }
    return packed;
  }
}

export const pack: Packer = new Packer();
