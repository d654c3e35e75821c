// Decimal numbers into f64, correctly rounded. The standard library's parseFloat is not: it loses
// exponents above 38 in some numbers, and last digits in others.

/** Digits that can matter; what comes after them only says whether something comes. */
const MAX_DIGITS: i32 = 800;
const MAX_LIMBS: i32 = 256;

/** A large number, in 32-bit limbs, the lowest first. */
const limbs: StaticArray<u32> = new StaticArray<u32>(MAX_LIMBS);
let count: i32 = 0;

const POWERS: StaticArray<f64> = [
  1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
  1e21, 1e22,
];

/** The value of a JSON number; infinite when it is out of range. */
export function parseReal(from: usize, end: usize): f64 {
  const negative = load<u8>(from) == 45;
  let exponent: i64 = 0;
  let digits = 0;
  let small: u64 = 0;
  let inFraction = false;
  let more = false;
  count = 0;
  let at = negative ? from + 1 : from;
  for (; at < end; at++) {
    const byte = load<u8>(at);
    if (byte == 46) {
      inFraction = true;
      continue;
    }
    const digit = <u32>byte - 48;
    if (digit > 9) break;
    if (inFraction) exponent--;
    if (digits == MAX_DIGITS) {
      more = more || digit != 0;
      exponent++;
    } else if (digits > 0 || digit > 0) {
      digits++;
      if (digits <= 19) small = small * 10 + digit;
      if (digits == 19) setLimbs(small);
      if (digits > 19) multiplyAdd(10, digit);
    }
  }
  if (at < end) exponent += exponentAt(at + 1, end);
  if (digits < 19) setLimbs(small);
  if (more) {
    multiplyAdd(10, 1);
    exponent--;
  }
  const size = magnitude(small, digits, exponent);
  return negative ? -size : size;
}

function exponentAt(at: usize, end: usize): i64 {
  const sign = load<u8>(at);
  if (sign == 43 || sign == 45) at++;
  let exponent: i64 = 0;
  for (; at < end; at++) exponent = min<i64>(exponent * 10 + load<u8>(at) - 48, 1_000_000_000);
  return sign == 45 ? -exponent : exponent;
}

function magnitude(small: u64, digits: i32, exponent: i64): f64 {
  if (digits == 0 || exponent + digits < -330) return 0;
  if (exponent + digits > 310) return Infinity;
  if (digits <= 15 && exponent >= -22 && exponent <= 22) {
    const power = POWERS[<i32>abs(exponent)];
    return exponent < 0 ? <f64>small / power : <f64>small * power;
  }
  if (exponent >= 0) {
    for (; exponent > 0; exponent -= min<i64>(exponent, 9)) multiplyAdd(<u32>POWERS[<i32>min<i64>(exponent, 9)], 0);
    return rounded(0, false);
  }
  // Divide by 5 ** -exponent, with 64 bits to spare; 5 ** 3 is less than 2 ** 7.
  const shift = 2 + <i32>((-exponent * 7 + 2) / 3 + 64) / 32;
  memory.copy(changetype<usize>(limbs) + 4 * shift, changetype<usize>(limbs), 4 * count);
  memory.fill(changetype<usize>(limbs), 0, 4 * shift);
  count += shift;
  let sticky = false;
  for (let left = -exponent; left > 0; left -= 13) {
    if (divide(powerOf5(<i32>min<i64>(left, 13)))) sticky = true;
  }
  return rounded(<i32>exponent - 32 * shift, sticky);
}

function powerOf5(exponent: i32): u32 {
  let power: u32 = 1;
  for (; exponent > 0; exponent--) power *= 5;
  return power;
}

function setLimbs(value: u64): void {
  limbs[0] = <u32>value;
  limbs[1] = <u32>(value >> 32);
  count = 2;
}

function multiplyAdd(factor: u32, summand: u32): void {
  let carry: u64 = summand;
  for (let i = 0; i < count; i++) {
    carry += <u64>limbs[i] * factor;
    limbs[i] = <u32>carry;
    carry >>= 32;
  }
  if (carry) limbs[count++] = <u32>carry;
}

/** Divides by a small number and says whether something remains. */
function divide(by: u32): bool {
  let rest: u64 = 0;
  for (let i = count - 1; i >= 0; i--) {
    rest = (rest << 32) | limbs[i];
    limbs[i] = <u32>(rest / by);
    rest %= by;
  }
  return rest != 0;
}

/** The limbs, and a bit less than one when `sticky`, times 2 ** exponent, rounded to even. */
function rounded(exponent: i32, sticky: bool): f64 {
  while (count > 0 && limbs[count - 1] == 0) count--;
  const bits = 32 * count - clz(limbs[count - 1]);
  // The exponent of the lowest bit that is kept: 53 bits, or fewer below 2 ** -1022.
  const lowest = max(exponent + bits - 53, -1074);
  const dropped = lowest - exponent;
  if (dropped <= 0) return scaled(bitsFrom(0, bits), exponent);
  let mantissa = dropped < bits ? bitsFrom(dropped, min(53, bits - dropped)) : 0;
  const half = dropped <= bits && bitsFrom(dropped - 1, 1) != 0;
  for (let i = 0; !sticky && i < dropped - 1 && i < bits; i++) sticky = bitsFrom(i, 1) != 0;
  if (half && (sticky || (mantissa & 1) != 0)) mantissa++;
  return scaled(mantissa, lowest);
}

function bitsFrom(start: i32, length: i32): u64 {
  let found: u64 = 0;
  for (let i = start + length - 1; i >= start; i--) found = (found << 1) | ((limbs[i >> 5] >> (i & 31)) & 1);
  return found;
}

/** At most 53 bits, times 2 ** exponent, which is exact or infinite. */
function scaled(mantissa: u64, exponent: i32): f64 {
  let value = <f64>mantissa;
  for (; exponent > 0; exponent--) value *= 2;
  // Two steps: 2 ** -1074 is the smallest number there is.
  if (exponent < -1000) return value * reinterpret<f64>(<u64>(1023 - 1000) << 52) * pow2(exponent + 1000);
  return value * pow2(exponent);
}

function pow2(exponent: i32): f64 {
  return reinterpret<f64>(<u64>(1023 + exponent) << 52);
}
