//! Where the plain part of a JSON string ends: 16 bytes at a time with `simd128`, otherwise 8.

/// The place of the first byte at or behind `from` that is `"`, `\` or a control character, and with
/// `ASCII` also of the first byte that is not ASCII. The length of `bytes` if there is none.
#[inline]
pub fn plain_end<const ASCII: bool>(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let stops = simd128::stops::<ASCII>(chunk);
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += chunk.len();
    }
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let stops = stops::<ASCII>(*chunk);
        if stops != 0 {
            return at + stops.trailing_zeros() as usize / 8;
        }
        at += chunk.len();
    }
    while let Some(&byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) || ASCII && !byte.is_ascii() {
            break;
        }
        at += 1;
    }
    at
}

/// The lowest bit set is the highest bit of the first byte that ends plain text. Bits above it mean nothing.
#[inline]
fn stops<const ASCII: bool>(chunk: [u8; 8]) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    let bytes = u64::from_le_bytes(chunk);
    // A byte below `limit` borrows from its highest bit; only bytes above a true hit can be wrong.
    let below = |bytes: u64, limit: u64| bytes.wrapping_sub(ONES * limit) & !bytes;
    let quote = below(bytes ^ (ONES * u64::from(b'"')), 1);
    let backslash = below(bytes ^ (ONES * u64::from(b'\\')), 1);
    let foreign = if ASCII { bytes } else { 0 };
    (below(bytes, 0x20) | quote | backslash | foreign) & HIGH
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128 {
    //! The same question for 16 bytes at once.

    use core::arch::wasm32::{
        i8x16_bitmask, i8x16_eq, i8x16_lt, i8x16_splat, u8x16_lt, u8x16_splat, v128_load, v128_or,
    };

    /// One bit for each byte that ends plain text, the first byte in the lowest bit.
    #[inline]
    pub fn stops<const ASCII: bool>(chunk: &[u8; 16]) -> u16 {
        // SAFETY: the reference says that 16 bytes can be read; the load needs no alignment.
        let bytes = unsafe { v128_load(chunk.as_ptr().cast()) };
        let quote = i8x16_eq(bytes, i8x16_splat(b'"' as i8));
        let backslash = i8x16_eq(bytes, i8x16_splat(b'\\' as i8));
        // As signed numbers the bytes that are not ASCII are below zero, so one comparison finds both.
        let low = if ASCII { i8x16_lt(bytes, i8x16_splat(0x20)) } else { u8x16_lt(bytes, u8x16_splat(0x20)) };
        i8x16_bitmask(v128_or(v128_or(quote, backslash), low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn byte_by_byte<const ASCII: bool>(bytes: &[u8], from: usize) -> usize {
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20) || ASCII && *byte >= 0x80;
        bytes[from..].iter().position(ends).map_or(bytes.len(), |place| from + place)
    }

    #[test]
    fn every_byte_ends_plain_text_or_not_at_every_place() {
        for fill in [b' ', b'!', b'#', b'[', b']', b'a', 0x7f] {
            for len in 0..40 {
                for place in 0..len {
                    for byte in 0..=u8::MAX {
                        let mut bytes = vec![fill; len];
                        bytes[place] = byte;
                        let from = place / 2;
                        assert_eq!(plain_end::<true>(&bytes, from), byte_by_byte::<true>(&bytes, from), "{bytes:?}");
                        assert_eq!(plain_end::<false>(&bytes, from), byte_by_byte::<false>(&bytes, from), "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_of_several_stops_counts() {
        let stops = [0, 0x1f, b'"', b'\\', 0x80, 0xff, b'a', 0x21, 0x23, 0x5b, 0x5d, 0x20];
        for first in stops {
            for second in stops {
                for third in stops {
                    let bytes = [b'a', first, second, third, b'a', b'a', b'a', b'a', first];
                    assert_eq!(plain_end::<true>(&bytes, 0), byte_by_byte::<true>(&bytes, 0), "{bytes:?}");
                    assert_eq!(plain_end::<false>(&bytes, 0), byte_by_byte::<false>(&bytes, 0), "{bytes:?}");
                }
            }
        }
    }
}
