//! A primary key as bytes that compare as SQLite compares the key's columns.

use super::Value;

/// Encodes key values so that byte order is SQLite's order of the primary key.
///
/// Values of one column always have one type, so no tag is written. Text and blobs escape zero
/// bytes (`00 ff`) and end with `00 00`; numbers are big-endian with the sign turned.
pub(super) fn encode<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    for value in values {
        match value {
            Value::Null => bytes.push(0),
            Value::Boolean(boolean) => bytes.push(u8::from(*boolean)),
            Value::Integer(integer) => bytes.extend(((*integer as u64) ^ (1 << 63)).to_be_bytes()),
            Value::Real(real) => bytes.extend(ordered_bits(*real).to_be_bytes()),
            Value::Text(text) => terminated(&mut bytes, text.as_bytes()),
            Value::Blob(blob) => terminated(&mut bytes, blob),
        }
    }
    bytes
}

fn terminated(bytes: &mut Vec<u8>, part: &[u8]) {
    for &byte in part {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(0xff);
        }
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

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn encoded_keys_sort_like_their_values() {
        let ascending = [
            vec![text(""), Value::Integer(5)],
            vec![text("\0"), Value::Integer(-1)],
            vec![text("a"), Value::Integer(i64::MIN)],
            vec![text("a"), Value::Integer(-1)],
            vec![text("a"), Value::Integer(0)],
            vec![text("a"), Value::Integer(i64::MAX)],
            vec![text("a\0b"), Value::Integer(0)],
            vec![text("ab"), Value::Integer(0)],
            vec![text("ä"), Value::Integer(0)],
        ];
        let encoded: Vec<_> = ascending.iter().map(encode).collect();
        assert!(encoded.is_sorted_by(|a, b| a < b), "{encoded:?}");
    }

    #[test]
    fn reals_sort_by_size() {
        let encoded: Vec<_> =
            [f64::NEG_INFINITY, -1.5, 0.0, 1e-300, 2.0].map(|real| encode(&[Value::Real(real)])).into();
        assert!(encoded.is_sorted_by(|a, b| a < b));
    }
}
