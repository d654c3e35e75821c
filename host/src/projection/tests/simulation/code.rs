//! The code of the simulated projections. It holds rows back until it is told to flush, as plugins do.

use std::collections::BTreeSet;

use super::*;

/// What is thrown in place of the end of the process.
pub struct Dies;

/// What becomes of an event when an edition applies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Fine,
    Rejected,
    Trapped,
    /// Too slow for the wall clock, and fine under fuel.
    Slow,
    /// Too slow for both.
    Endless,
    /// The process dies.
    Deadly,
}

/// Of an event of this type and amount. Some editions can apply what others cannot.
pub fn fate(edition: u64, event_type: &str, amount: i64) -> Fate {
    match event_type {
        "Deadly" => Fate::Deadly,
        "Poison" if amount as u64 % 3 != edition % 3 => match amount % 4 {
            0 => Fate::Rejected,
            1 => Fate::Trapped,
            2 => Fate::Slow,
            _ => Fate::Endless,
        },
        _ => Fate::Fine,
    }
}

/// What an edition makes of an amount.
pub fn credited(edition: u64, amount: i64) -> i64 {
    (edition as i64 + 1) * amount
}

/// One edition: counts the events of each stream of category `sum`, and of all, and adds up their amounts.
pub struct Sums {
    pub edition: u64,
    description: Description,
    digest: ComponentDigest,
}

impl Sums {
    pub fn new(name: &str, edition: u64, read_model_version: u32) -> Arc<Self> {
        let integer = |name: &str| Column { name: name.into(), column_type: ColumnType::Integer, nullable: false };
        let key = Column { name: "stream".into(), column_type: ColumnType::Text, nullable: false };
        let table = Table {
            name: "sums".into(),
            columns: vec![key, integer("events"), integer("amount"), integer("changed_at")],
            primary_key: vec!["stream".into()],
            indexes: vec![Index { name: "by_amount".into(), columns: vec!["amount".into()] }],
        };
        let description = Description {
            name: name.parse().expect("a name"),
            read_model_version,
            interests: [Interest { category: Some("sum".into()), event_types: vec![] }].into(),
            schema: Schema::new(vec![table]).expect("sound"),
        };
        Arc::new(Self { edition, description, digest: ComponentDigest(format!("edition-{edition}")) })
    }

    fn instance(&self, is_metered: bool) -> Box<dyn Projection> {
        Box::new(Instance { edition: self.edition, is_metered, rows: BTreeMap::new(), changed: BTreeSet::new() })
    }
}

impl ProjectionCode for Sums {
    fn description(&self) -> &Description {
        &self.description
    }

    fn digest(&self) -> &ComponentDigest {
        &self.digest
    }

    fn instantiate(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        Ok(self.instance(false))
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        Ok(self.instance(true))
    }
}

struct Instance {
    edition: u64,
    is_metered: bool,
    /// Every row that it has seen, ahead of the file.
    rows: BTreeMap<String, [i64; 3]>,
    changed: BTreeSet<String>,
}

impl Instance {
    fn change(
        &mut self,
        key: &str,
        (amount, position): (i64, i64),
        draft: &ReadModelDraft,
    ) -> Result<(), ApplyFailure> {
        if !self.rows.contains_key(key) {
            let row = match draft.get("sums", &[Value::Text(key.to_owned())])?.as_deref() {
                Some([_, Value::Integer(events), Value::Integer(amount), Value::Integer(at)]) => {
                    [*events, *amount, *at]
                }
                _ => [0; 3],
            };
            self.rows.insert(key.to_owned(), row);
        }
        let row = self.rows.get_mut(key).expect("it was put there");
        *row = [row[0] + 1, row[1] + amount, position];
        self.changed.insert(key.to_owned());
        Ok(())
    }
}

impl Projection for Instance {
    fn apply(&mut self, batch: &EventBatch, draft: &mut ReadModelDraft) -> Result<Pending, ApplyFailure> {
        for event in batch.iter() {
            let amount: i64 = String::from_utf8_lossy(event.data).parse().expect("a number");
            match fate(self.edition, &event.kind.event_type, amount) {
                Fate::Rejected => return Err(ApplyFailure::Call(CallFailure::Rejected("refused".into()))),
                Fate::Trapped => return Err(ApplyFailure::Call(CallFailure::Trapped("unreachable".into()))),
                Fate::Slow | Fate::Endless if !self.is_metered => {
                    return Err(ApplyFailure::Call(CallFailure::Interrupted("too slow".into())));
                }
                Fate::Endless => return Err(ApplyFailure::Call(CallFailure::OutOfFuel("too much".into()))),
                // Without the words of a panic, which nobody reads.
                Fate::Deadly => std::panic::resume_unwind(Box::new(Dies)),
                Fate::Fine | Fate::Slow => {}
            }
            let change = (credited(self.edition, amount), event.position.0 as i64);
            self.change(event.stream, change, draft)?;
            self.change("all", change, draft)?;
        }
        Ok(Pending { rows: self.changed.len() as u32, bytes: 0 })
    }

    fn flush(&mut self, draft: &mut ReadModelDraft) -> Result<(), ApplyFailure> {
        for key in std::mem::take(&mut self.changed) {
            let numbers = self.rows[&key].map(Value::Integer);
            draft.put("sums", [vec![Value::Text(key)], numbers.to_vec()].concat())?;
        }
        // Some have no room for what they have seen, and read it again while it is committed.
        if self.edition % 2 == 1 {
            self.rows.clear();
        }
        Ok(())
    }
}
