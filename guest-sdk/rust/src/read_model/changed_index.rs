//! Which changed rows an index leads to, for rows that the host does not know yet.

use std::collections::BTreeSet;

use super::{IndexDeclaration, Row};

/// One index over the changed rows of a table. An entry may be out of date: a row that changed
/// again leaves its old entries until the next flush, so the reader looks at the row itself.
pub struct ChangedIndex {
    index: IndexDeclaration,
    /// The encoded values of the indexed columns, and the slot of the row.
    entries: BTreeSet<(Vec<u8>, u32)>,
}

impl ChangedIndex {
    pub fn new(index: IndexDeclaration) -> Self {
        Self { index, entries: BTreeSet::new() }
    }

    pub fn name(&self) -> &'static str {
        self.index.name
    }

    /// Adds a row and answers how many bytes that took.
    pub fn add<R: Row>(&mut self, slot: u32, row: &R) -> u64 {
        let entry = (self.values_of(row), slot);
        let bytes = entry.0.len() + size_of::<(Vec<u8>, u32)>();
        if self.entries.insert(entry) { bytes as u64 } else { 0 }
    }

    /// The slots of rows that had these values at some time since the last flush. The encoding of a
    /// prefix of the values is a prefix of the encoding.
    pub fn candidates<'i>(&'i self, prefix: &'i [u8]) -> impl Iterator<Item = u32> + 'i {
        self.entries
            .range((prefix.to_vec(), 0)..)
            .take_while(move |(values, _)| values.starts_with(prefix))
            .map(|(_, slot)| *slot)
    }

    pub fn holds<R: Row>(&self, row: &R, prefix: &[u8]) -> bool {
        self.values_of(row).starts_with(prefix)
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    fn values_of<R: Row>(&self, row: &R) -> Vec<u8> {
        let mut values = Vec::new();
        for column in self.index.columns {
            row.encode_column(column, &mut values);
        }
        values
    }
}
