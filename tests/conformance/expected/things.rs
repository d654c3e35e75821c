//! The projection `conformance`, folded plainly.

use std::collections::BTreeMap;

use lantern_tests::Rows;
use rusqlite::types::Value as Cell;

use super::{Fields, Fold};
use crate::history::{Event, base64};

/// Integers up to this size are exact in every language.
const EXACT: i64 = (1 << 53) - 1;

#[derive(Default)]
pub struct Things {
    things: BTreeMap<String, Thing>,
    /// By group and selection: members, total, ids.
    groups: BTreeMap<(String, &'static str), (i64, i64, String)>,
    echoes: BTreeMap<i64, Vec<Cell>>,
}

#[derive(Clone, Default)]
struct Thing {
    group: String,
    whole: Option<i64>,
    fraction: Option<f64>,
    note: Option<String>,
    bytes: Option<Vec<u8>>,
    flag: Option<bool>,
    changes: i64,
}

impl Fold for Things {
    const NAME: &'static str = "conformance";

    fn reads(event: &Event) -> bool {
        event.category() == "thing"
    }

    fn apply(&mut self, position: i64, version: u64, event: &Event) -> Result<(), String> {
        let id = event.aggregate_id();
        let not_there = || format!("thing {id} is not there");
        match event.event_type.as_str() {
            "ThingStored" => {
                let changes = self.things.get(id).map_or(0, |thing| thing.changes) + 1;
                self.things.insert(id.to_owned(), Thing { changes, ..stored(event)? });
            }
            "ThingTouched" => self.things.entry(id.to_owned()).or_default().changes += 1,
            "ThingCopied" => {
                let to = Fields::of(event)?.needed_text("to")?;
                let thing = self.things.get(id).ok_or_else(not_there)?;
                self.things.insert(to, Thing { changes: 1, ..thing.clone() });
            }
            "ThingRemoved" => drop(self.things.remove(id).ok_or_else(not_there)?),
            "GroupCounted" => self.count(&Fields::of(event)?.needed_text("group")?),
            "GroupDissolved" => {
                let group = Fields::of(event)?.needed_text("group")?;
                self.things.retain(|_, thing| thing.group != group);
                self.groups.retain(|(counted, _), _| *counted != group);
            }
            "ThingRefused" => return Err(format!("refused: {}", Fields::of(event)?.needed_text("why")?)),
            "ThingTrapped" => return Err(String::new()),
            "ThingEchoed" => drop(self.echoes.insert(position, echo(position, version, event))),
            unknown => return Err(format!("unknown event type {unknown}")),
        }
        Ok(())
    }

    fn rows(&self) -> Rows {
        let things = self.things.iter().map(|(id, thing)| {
            let Thing { group, whole, fraction, note, bytes, flag, changes } = thing.clone();
            let flag = flag.map(i64::from);
            // SQLite knows one zero.
            let fraction = fraction.map(|fraction| fraction + 0.0);
            vec![
                id.clone().into(),
                group.into(),
                whole.into(),
                fraction.into(),
                note.into(),
                bytes.into(),
                flag.into(),
                changes.into(),
            ]
        });
        let groups = self.groups.iter().map(|((group, selection), (members, total, ids))| {
            vec![
                group.clone().into(),
                selection.to_string().into(),
                (*members).into(),
                (*total).into(),
                ids.clone().into(),
            ]
        });
        Rows::from([
            ("things".to_owned(), things.collect()),
            ("groups".to_owned(), groups.collect()),
            ("echoes".to_owned(), self.echoes.values().cloned().collect()),
        ])
    }
}

impl Things {
    fn count(&mut self, group: &str) {
        for (selection, only_flagged) in [("all", false), ("flagged", true)] {
            let members = self.things.iter().filter(|(_, thing)| thing.group == group);
            let members: Vec<_> = members.filter(|(_, thing)| !only_flagged || thing.flag == Some(true)).collect();
            let wholes = || members.iter().filter_map(|(_, thing)| thing.whole);
            // Whatever the order of the sum: the history promises it.
            assert!(
                wholes().map(i64::unsigned_abs).sum::<u64>() <= EXACT as u64,
                "group {group:?} adds up beyond 2^53"
            );
            let ids: Vec<_> = members.iter().map(|(id, _)| id.as_str()).collect();
            let counted = (members.len() as i64, wholes().sum(), ids.join(","));
            self.groups.insert((group.to_owned(), selection), counted);
        }
    }
}

fn stored(event: &Event) -> Result<Thing, String> {
    let fields = Fields::of(event)?;
    let number = |text: &str| text.parse::<f64>().ok();
    let bytes = fields.text("bytes")?;
    Ok(Thing {
        group: fields.needed_text("group")?,
        whole: fields.integer("whole")?,
        fraction: fields.get("fraction", number)?,
        note: fields.text("note")?,
        bytes: bytes.map(|hex| {
            let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).expect("a digit") as u8).collect();
            digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
        }),
        flag: fields.get("flag", |text| text.parse().ok())?,
        changes: 0,
    })
}

fn echo(position: i64, version: u64, event: &Event) -> Vec<Cell> {
    let data = if event.is_json() { String::from_utf8_lossy(&event.data).into_owned() } else { base64(&event.data) };
    vec![
        position.into(),
        event.id.clone().into(),
        event.stream.clone().into(),
        event.category().to_owned().into(),
        event.aggregate_id().to_owned().into(),
        (version as i64).into(),
        event.event_type.clone().into(),
        i64::from(event.schema_version).into(),
        event.time.1.into(),
        event.content_type.clone().into(),
        data.into(),
        event.metadata.clone().into(),
    ]
}
