//! What a read model has to hold, in plain code: rows and dead letters up to a checkpoint.

use super::code::{Fate, credited, fate};
use super::*;

/// An event of the simulated log.
#[derive(Clone, Debug)]
pub struct Appended {
    pub stream: String,
    pub event_type: &'static str,
    pub amount: i64,
}

impl Appended {
    pub fn is_wanted(&self) -> bool {
        self.stream.starts_with("sum-")
    }

    fn fails(&self, edition: u64) -> bool {
        !matches!(fate(edition, self.event_type, self.amount), Fate::Fine | Fate::Slow)
    }
}

/// A parked event, as far as it follows from the log and the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub stream: String,
    pub kind: DeadLetterKind,
    pub attempts: u32,
    pub digest: String,
}

/// What a read model holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub checkpoint: u64,
    pub rows: BTreeMap<String, [i64; 3]>,
    pub parked: BTreeMap<u64, Parked>,
}

impl Model {
    /// Applies the events of the log up to a checkpoint.
    pub fn advance(&mut self, log: &[Appended], to: u64, edition: u64) {
        for position in self.checkpoint + 1..=to {
            let event = &log[position as usize - 1];
            if !event.is_wanted() {
                continue;
            }
            let waits = self.parked.values().any(|parked| parked.stream == event.stream);
            if waits || event.fails(edition) {
                let kind = if waits { DeadLetterKind::Waiting } else { DeadLetterKind::Failed };
                let digest = format!("edition-{edition}");
                let parked = Parked { stream: event.stream.clone(), kind, attempts: u32::from(!waits), digest };
                self.parked.insert(position, parked);
            } else {
                self.apply(event, position, edition);
            }
        }
        self.checkpoint = to;
    }

    /// Applies the parked events of a stream until one fails. Answers whether none is left.
    pub fn redrive(&mut self, log: &[Appended], stream: &str, edition: u64) -> bool {
        let of_stream = self.parked.iter().filter(|(_, parked)| parked.stream == stream);
        for position in of_stream.map(|(position, _)| *position).collect::<Vec<_>>() {
            let event = &log[position as usize - 1];
            if event.fails(edition) {
                let parked = self.parked.get_mut(&position).expect("it is parked");
                parked.kind = DeadLetterKind::Failed;
                parked.attempts += 1;
                parked.digest = format!("edition-{edition}");
                return false;
            }
            self.apply(event, position, edition);
            self.parked.remove(&position);
        }
        true
    }

    fn apply(&mut self, event: &Appended, position: u64, edition: u64) {
        for key in [event.stream.as_str(), "all"] {
            let row = self.rows.entry(key.to_owned()).or_default();
            *row = [row[0] + 1, row[1] + credited(edition, event.amount), position as i64];
        }
    }
}

/// Everything that a read model's file holds, in one snapshot.
pub fn read(path: &Path) -> rusqlite::Result<Model> {
    let connection = crate::sqlite::open_read_only(path)?;
    connection.execute_batch("BEGIN")?;
    let checkpoint = connection.query_row("SELECT position FROM lantern_checkpoint", [], |row| row.get(0))?;
    let mut rows = connection.prepare("SELECT stream, events, amount, changed_at FROM sums")?;
    let rows = rows.query_map([], |row| Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?])))?;
    let letters = "SELECT position, stream, failed, attempts, component_digest FROM lantern_dead_letters";
    let mut letters = connection.prepare(letters)?;
    let letters = letters.query_map([], |row| {
        let kind = if row.get(2)? { DeadLetterKind::Failed } else { DeadLetterKind::Waiting };
        Ok((row.get(0)?, Parked { stream: row.get(1)?, kind, attempts: row.get(3)?, digest: row.get(4)? }))
    })?;
    Ok(Model { checkpoint, rows: rows.collect::<Result<_, _>>()?, parked: letters.collect::<Result<_, _>>()? })
}
