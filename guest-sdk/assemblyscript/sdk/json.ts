// Reads the fields of a JSON object from its UTF-8 text. The host has checked that event data is JSON;
// here the types are checked.

import { Memory, reserve } from "./memory";
import { Box } from "./values";
import { parseReal } from "./real";
import { refuse } from "./refusal";

/** Where a member's name, without quotes, and its value stand in the text. */
@unmanaged
class Member {
  name: usize;
  nameEnd: usize;
  value: usize;
  valueEnd: usize;
}

/** The members of the object that is being read. */
const members = new Memory();

/** Visits the fields of a @data class and fills them in. */
export class JsonObject {
  constructor(
    private readonly type: string,
    private at: usize,
    private readonly end: usize,
  ) {
    members.length = 0;
    if (this.next() == CHAR("{")) this.at++;
    else refuse(`${type}: the data is not a JSON object`);
    while (this.next() == CHAR('"')) {
      const member = changetype<Member>(reserve(members, offsetof<Member>()));
      member.name = this.at + 1;
      this.skipText();
      member.nameEnd = this.at - 1;
      this.next();
      this.at++; // the colon
      this.next();
      member.value = this.at;
      this.skipValue();
      member.valueEnd = this.at;
      if (this.next() == CHAR(",")) this.at++;
    }
  }

  field<T>(name: string, fallback: T, _isKey: bool): T {
    const member = this.find(name);
    if (member === null || load<u8>(member.value) == CHAR("n")) {
      if (isReference<T>() && isNullable<T>()) return changetype<T>(0);
      refuse(`${this.type}: ${member === null ? "missing field" : "null in field"} \`${name}\``);
      return fallback;
    }
    return this.read<T>(name, member, fallback);
  }

  private read<T>(name: string, member: Member, fallback: T): T {
    if (isBoolean<T>()) {
      const first = load<u8>(member.value);
      if (first == CHAR("t") || first == CHAR("f")) return <T>(first == CHAR("t"));
      this.mismatch(name, member, "a boolean");
      return fallback;
    }
    if (isInteger<T>()) return this.integer<T>(name, member, fallback);
    if (isFloat<T>()) {
      if (!isNumber(member.value)) {
        this.mismatch(name, member, "a number");
        return fallback;
      }
      const number = parseReal(member.value, member.valueEnd);
      if (!isFinite<f64>(number)) this.mismatch(name, member, "a number in the range of f64");
      return <T>number;
    }
    if (isString<T>()) {
      if (load<u8>(member.value) != CHAR('"')) {
        this.mismatch(name, member, "a text");
        return fallback;
      }
      return changetype<T>(changetype<usize>(unquote(member.value + 1, member.valueEnd - 1)));
    }
    if (isReference<T>()) return changetype<T>(changetype<usize>(this.box(name, member, changetype<nonnull<T>>(0))));
    return fallback;
  }

  private box<V>(name: string, member: Member, _type: Box<V>): Box<V> {
    return new Box<V>(this.read<V>(name, member, <V>0));
  }

  private integer<T>(name: string, member: Member, fallback: T): T {
    let at = member.value;
    const negative = load<u8>(at) == CHAR("-");
    if (negative) at++;
    let number: i64 = 0; // below zero, because there is one more number there
    let fits = isNumber(at);
    for (; fits && at < member.valueEnd; at++) {
      const digit = <i64>load<u8>(at) - CHAR("0");
      fits = digit >= 0 && digit <= 9 && number >= (i64.MIN_VALUE + digit) / 10;
      number = number * 10 - digit;
    }
    if (!negative) {
      fits = fits && number != i64.MIN_VALUE;
      number = -number;
    }
    if (!fits || <i64>(<T>number) != number) {
      this.mismatch(name, member, `an integer of ${8 * sizeof<T>()} bits`);
      return fallback;
    }
    return <T>number;
  }

  private find(name: string): Member | null {
    for (let at: usize = 0; at < members.length; at += offsetof<Member>()) {
      const member = changetype<Member>(members.address + at);
      if (equals(member.name, member.nameEnd - member.name, name)) return member;
    }
    return null;
  }

  private mismatch(name: string, member: Member, wanted: string): void {
    const length = min<usize>(member.valueEnd - member.value, 80);
    const found = String.UTF8.decodeUnsafe(member.value, length);
    refuse(`${this.type}: field \`${name}\` is ${found}, not ${wanted}`);
  }

  /** The next byte that is no white space; 0 at the end. */
  private next(): u8 {
    while (this.at < this.end && load<u8>(this.at) <= CHAR(" ")) this.at++;
    return this.at < this.end ? load<u8>(this.at) : 0;
  }

  private skipText(): void {
    for (this.at++; this.at < this.end && load<u8>(this.at) != CHAR('"'); this.at++) {
      if (load<u8>(this.at) == CHAR("\\")) this.at++;
    }
    this.at++;
  }

  private skipValue(): void {
    let depth = 0;
    while (this.at < this.end) {
      const byte = load<u8>(this.at);
      if (byte == CHAR('"')) {
        this.skipText();
        if (depth == 0) return;
        continue;
      }
      if (byte == CHAR("{") || byte == CHAR("[")) depth++;
      if (byte == CHAR("}") || byte == CHAR("]")) {
        if (depth == 0) return; // the end of what this value is in
        depth--;
      }
      if (depth == 0 && (byte == CHAR(",") || byte <= CHAR(" "))) return;
      this.at++;
    }
  }
}

// @ts-ignore: decorator
@inline
function CHAR(text: string): u8 {
  return <u8>text.charCodeAt(0);
}

function isNumber(at: usize): bool {
  const first = load<u8>(at);
  return first == CHAR("-") || (first >= CHAR("0") && first <= CHAR("9"));
}

function equals(at: usize, length: usize, name: string): bool {
  if (length == <usize>name.length) {
    let same = true;
    for (let i = 0; same && i < name.length; i++) same = load<u8>(at + i) == name.charCodeAt(i);
    if (same) return true;
  }
  // Names that are not plain ASCII, or are written with escapes.
  for (let i: usize = 0; i < length; i++) {
    const byte = load<u8>(at + i);
    if (byte >= 128 || byte == CHAR("\\")) return unquote(at, at + length) == name;
  }
  return false;
}

/** The string that stands between two quotes. */
function unquote(from: usize, to: usize): string {
  const text = String.UTF8.decodeUnsafe(from, to - from);
  if (!text.includes("\\")) return text;
  const units = new StaticArray<u16>(text.length);
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    let unit = text.charCodeAt(i);
    if (unit == CHAR("\\")) {
      i++;
      if (text.charCodeAt(i) == CHAR("u")) {
        unit = <i32>U16.parseInt(text.substring(i + 1, i + 5), 16);
        i += 4;
      } else {
        unit = escaped(text.charCodeAt(i));
      }
    }
    units[length++] = <u16>unit;
  }
  return String.UTF16.decodeUnsafe(changetype<usize>(units), length << 1);
}

function escaped(unit: i32): i32 {
  switch (unit) {
    case CHAR("b"): return 8;
    case CHAR("f"): return 12;
    case CHAR("n"): return 10;
    case CHAR("r"): return 13;
    case CHAR("t"): return 9;
    default: return unit;
  }
}
