//! A primary key as bytes that compare as SQLite compares the key's columns.

use super::cell::Cell;

/// Adds key values to `bytes` so that byte order is SQLite's order of the primary key.
///
/// Values of one column always have one type, so no tag is written. Text and blobs escape zero
/// bytes (`00 ff`) and end with `00 00`; numbers are big-endian with the sign turned.
pub(super) fn encode<'a>(cells: impl IntoIterator<Item = Cell<'a>>, bytes: &mut Vec<u8>) {
    for cell in cells {
        match cell {
            Cell::Null => bytes.push(0),
            Cell::Boolean(boolean) => bytes.push(u8::from(boolean)),
            Cell::Integer(integer) => bytes.extend(((integer as u64) ^ (1 << 63)).to_be_bytes()),
            Cell::Real(real) => bytes.extend(ordered_bits(real).to_be_bytes()),
            Cell::Text(text) => terminated(bytes, text.as_bytes()),
            Cell::Blob(blob) => terminated(bytes, blob),
        }
    }
}

fn terminated(bytes: &mut Vec<u8>, part: &[u8]) {
    for (place, piece) in part.split(|byte| *byte == 0).enumerate() {
        if place > 0 {
            bytes.extend([0, 0xff]);
        }
        bytes.extend_from_slice(piece);
    }
    bytes.extend([0, 0]);
}

fn ordered_bits(real: f64) -> u64 {
    let bits = real.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(cells: &[Cell<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(cells.iter().copied(), &mut bytes);
        bytes
    }

    #[test]
    fn encoded_keys_sort_like_their_values() {
        let ascending = [
            vec![Cell::Text(""), Cell::Integer(5)],
            vec![Cell::Text("\0"), Cell::Integer(-1)],
            vec![Cell::Text("a"), Cell::Integer(i64::MIN)],
            vec![Cell::Text("a"), Cell::Integer(-1)],
            vec![Cell::Text("a"), Cell::Integer(0)],
            vec![Cell::Text("a"), Cell::Integer(i64::MAX)],
            vec![Cell::Text("a\0b"), Cell::Integer(0)],
            vec![Cell::Text("ab"), Cell::Integer(0)],
            vec![Cell::Text("ä"), Cell::Integer(0)],
        ];
        let encoded: Vec<_> = ascending.iter().map(|cells| encoded(cells)).collect();
        assert!(encoded.is_sorted_by(|a, b| a < b), "{encoded:?}");
    }

    #[test]
    fn reals_sort_by_size() {
        let encoded: Vec<_> =
            [f64::NEG_INFINITY, -1.5, 0.0, 1e-300, 2.0].map(|real| encoded(&[Cell::Real(real)])).into();
        assert!(encoded.is_sorted_by(|a, b| a < b));
    }
}
