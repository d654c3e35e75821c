//! The kinds of event that occur in the log, as a reader knows them, and which of them an interest
//! selects. Kinds are only ever added, so what is known stays true.

use rusqlite::{Connection, Row};

use super::checksum;
use crate::event::{EventKind, Interest, is_json};

/// A row of the table `kinds`.
#[derive(Debug)]
pub(super) struct Kind {
    pub names: EventKind,
    /// See [`checksum::of_kind`].
    pub hash: u64,
    /// Whether data is stored as text.
    pub is_text: bool,
}

/// Row `id` is at `id - 1`.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    rows: Vec<Kind>,
    /// The last selection, for how many kinds it was made, and its result.
    selection: (Vec<Interest>, usize, Vec<i64>),
}

impl Kinds {
    /// Reads the kinds that were added since. Answers the id of a row that is damaged, if there is one.
    pub fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<Result<(), i64>> {
        let mut statement = connection.prepare_cached(
            "SELECT id, category, event_type, content_type, checksum FROM kinds WHERE id > ? ORDER BY id",
        )?;
        let mut rows = statement.query([self.rows.len() as i64])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let kind = read(row).filter(|_| id == self.rows.len() as i64 + 1);
            let Some(kind) = kind else { return Ok(Err(id)) };
            self.rows.push(kind);
        }
        Ok(Ok(()))
    }

    pub fn get(&self, id: i64) -> Option<&Kind> {
        self.rows.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// The ids of the kinds that one of the interests selects; `None` when that is every kind.
    pub fn select(&mut self, interests: &[Interest]) -> Option<&[i64]> {
        let (for_interests, of, selected) = &mut self.selection;
        if *of != self.rows.len() || *for_interests != interests {
            let wanted =
                |kind: &Kind| interests.iter().any(|it| it.matches(&kind.names.category, &kind.names.event_type));
            let ids = (1..).zip(&self.rows).filter(|(_, kind)| wanted(kind)).map(|(id, _)| id);
            (*for_interests, *of, *selected) = (interests.to_vec(), self.rows.len(), ids.collect());
        }
        (selected.len() < self.rows.len()).then_some(selected)
    }
}

/// `None` when the row is not as it was written.
fn read(row: &Row<'_>) -> Option<Kind> {
    let name = |column| row.get::<_, String>(column).ok();
    let names = EventKind { category: name(1)?, event_type: name(2)?, content_type: name(3)? };
    let hash = checksum::of_kind([&names.category, &names.event_type, &names.content_type]);
    let is_text = is_json(&names.content_type);
    (row.get::<_, i64>(4).ok()? as u64 == hash).then_some(Kind { names, hash, is_text })
}
