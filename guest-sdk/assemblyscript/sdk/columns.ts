// The visitors of a row: what its columns are, and its way into and out of packed values.

import { refuse } from "./refusal";
import { Box, Kind, Values, pack } from "./values";

/** A column as it is declared. */
export class Column {
  constructor(
    readonly name: string,
    readonly kind: u8,
    readonly isNullable: bool,
    readonly isKey: bool,
  ) {}
}

/** Lists the columns. */
export class Columns {
  found: Column[] = [];

  field<T>(name: string, value: T, isKey: bool): T {
    this.found.push(new Column(name, kindOf<T>(), isNullable<T>(), isKey));
    return value;
  }
}

/** Which kind of value a field of type T has. */
function kindOf<T>(): u8 {
  if (isBoolean<T>()) return Kind.Boolean;
  if (isInteger<T>()) {
    if (!isSigned<T>() && sizeof<T>() == 8) ERROR("u64 does not fit a column: take i64");
    return Kind.Integer;
  }
  if (isFloat<T>()) return Kind.Real;
  if (isString<T>()) return Kind.Text;
  if (isReference<T>()) {
    if (idof<nonnull<T>>() == idof<Uint8Array>()) return Kind.Blob;
    return kindInBox(changetype<nonnull<T>>(0));
  }
  return Kind.Null;
}

function kindInBox<V>(_type: Box<V>): u8 {
  return kindOf<V>();
}

/** Packs a row. */
export class RowWriter {
  constructor(private readonly table: string) {}

  field<T>(name: string, value: T, _isKey: bool): T {
    if (isFloat<T>()) {
      if (isNaN(value)) refuse(`table ${this.table}: column ${name} is NaN`);
    }
    pack.value<T>(value);
    return value;
  }
}

/** Fills a row in: all of it, or its key only. */
export class RowReader {
  private place: i32 = 0;

  constructor(
    private readonly from: Values,
    private readonly keyOnly: bool,
  ) {}

  field<T>(_name: string, value: T, isKey: bool): T {
    return this.keyOnly && !isKey ? value : this.read<T>(this.place++);
  }

  private read<T>(place: i32): T {
    const cell = this.from.at(place);
    if (isFloat<T>()) return <T>reinterpret<f64>(cell.number);
    if (isBoolean<T>()) return <T>(<u8>cell.number != 0);
    if (isInteger<T>()) return <T>cell.number;
    if (isReference<T>()) {
      if (cell.kind == Kind.Null) return changetype<T>(0);
      return changetype<T>(this.reference<T>(place));
    }
    return <T>0;
  }

  private reference<T>(place: i32): usize {
    const cell = this.from.at(place);
    const from = changetype<usize>(this.from.bytes) + cell.address;
    if (isString<T>()) return changetype<usize>(String.UTF8.decodeUnsafe(from, cell.length));
    if (idof<nonnull<T>>() == idof<Uint8Array>()) {
      const blob = new Uint8Array(<i32>cell.length);
      memory.copy(blob.dataStart, from, cell.length);
      return changetype<usize>(blob);
    }
    return changetype<usize>(this.box(place, changetype<nonnull<T>>(0)));
  }

  private box<V>(place: i32, _type: Box<V>): Box<V> {
    return new Box<V>(this.read<V>(place));
  }
}
