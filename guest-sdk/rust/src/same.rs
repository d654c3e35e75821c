//! Equality of short texts. Comparing slices calls `memcmp`, which goes byte by byte in WebAssembly;
//! this reads eight bytes at a time and is inlined.

/// As `a == b`.
#[inline(always)]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && same_of_one_length(a, b)
}

#[inline]
fn same_of_one_length(a: &[u8], b: &[u8]) -> bool {
    if a.len() < 8 {
        return match (a.first_chunk::<4>(), b.first_chunk::<4>()) {
            (Some(first), Some(other)) => first == other && a.last_chunk::<4>() == b.last_chunk::<4>(),
            _ => a.iter().eq(b),
        };
    }
    let mut words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    // The last eight bytes may overlap those before them.
    a.last_chunk::<8>() == b.last_chunk::<8>() && words.all(|(a, b)| u64::from_le_bytes(*a) == u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn texts_are_the_same_exactly_when_every_byte_is() {
        for length in 0..40 {
            let text: Vec<u8> = (0..length).collect();
            assert!(same(&text, &text.clone()));
            assert!(!same(&text, &text.iter().copied().chain([9]).collect::<Vec<_>>()));
            for place in 0..text.len() {
                let mut other = text.clone();
                other[place] ^= 0x80;
                assert!(!same(&text, &other), "{length} bytes that differ at {place}");
            }
        }
    }
}
