//! Everything that reads bytes of others, as functions that take any bytes: for `tests/fuzz`, and for a test that gives
//! them the corpus of `tests/fuzz` and what it becomes by chance. Each of them panics when a promise is broken.

pub use crate::event_store::fuzzing::{row, segment};
pub use crate::http::fuzzing::cloud_events;
pub use crate::plugin::fuzzing::component;
pub use crate::read_model::fuzzing::{changes, query};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    const SEED: u64 = 2026;

    /// Changes of all files of a target together.
    const MUTATIONS: usize = 2_000;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 6] = [
        ("component", component),
        ("query", query),
        ("cloud_events", cloud_events),
        ("changes", changes),
        ("segment", segment),
        ("row", row),
    ];

    /// The files of a folder below `tests/fuzz`, in order.
    fn files(folder: &Path) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).expect("read")).collect()
    }

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn below(&mut self, below: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) as usize % below.max(1)
        }

        /// One to four changes: a byte, a number of four bytes, a part cut out or doubled, the end of another file.
        fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
            for _ in 0..=self.below(4) {
                let at = self.below(bytes.len());
                let end = (at + self.below(16)).min(bytes.len());
                match self.below(6) {
                    0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                    1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'.', b'%'][self.below(8)],
                    2 => bytes.truncate(at),
                    3 => drop(bytes.drain(at..end)),
                    4 => bytes.extend_from_within(at..end),
                    _ => bytes.splice(at.., other[self.below(other.len())..].iter().copied()).for_each(drop),
                }
            }
        }
    }

    #[test]
    fn the_corpus_and_what_becomes_of_it_by_chance_break_no_promise() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
        let mut random = Random(SEED);
        for (name, target) in TARGETS {
            let corpus = files(&fuzz.join("corpus").join(name));
            assert!(corpus.len() >= 4, "{name} has a corpus");
            corpus.iter().chain(&files(&fuzz.join("findings").join(name))).for_each(|file| target(file));
            for _ in 0..MUTATIONS {
                let mut bytes = corpus[random.below(corpus.len())].clone();
                let other = &corpus[random.below(corpus.len())];
                random.change(&mut bytes, other);
                // Shown when the target panics.
                println!("{name} of seed {SEED}: {}", bytes.escape_ascii());
                target(&bytes);
            }
        }
    }
}
