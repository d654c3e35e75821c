//! The projection that is written in every language and must give the same rows: it uses everything that a projection
//! can use, and fails in every way in which one can fail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lantern_sdk::prelude::*;
use lantern_sdk::{EventData, Payload};

/// The most rows that a group may have.
const MAX_MEMBERS: u32 = 10_000;

table! {
    pub struct Thing in "things" {
        key id: String,
        group_name: String,
        whole: Option<i64>,
        fraction: Option<f64>,
        note: Option<String>,
        bytes: Option<Vec<u8>>,
        flag: Option<bool>,
        changes: i64,
        index things_by_group(group_name, flag),
    }
}

table! {
    /// What a search for the things of a group found.
    pub struct Group in "groups" {
        key group_name: String,
        /// all or flagged.
        key selection: String,
        members: i64,
        total: i64,
        /// In the order in which they were found.
        ids: String,
    }
}

table! {
    /// An event with everything that it carries.
    pub struct Echo in "echoes" {
        key position: i64,
        id: String,
        stream: String,
        category: String,
        aggregate_id: String,
        version: i64,
        event_type: String,
        schema_version: u32,
        time: i64,
        content_type: String,
        /// As text; in base64 when it is not JSON.
        data: String,
        metadata: String,
    }
}

events! {
    enum Event<'a> {
        ThingStored {
            group: String,
            whole: Option<i64>,
            fraction: Option<f64>,
            note: Option<String>,
            bytes: Option<Cow<'a, str>>,
            flag: Option<bool>,
        },
        ThingTouched,
        ThingCopied { to: String },
        ThingRemoved,
        GroupCounted { group: String },
        GroupDissolved { group: String },
        ThingRefused { why: String },
        ThingTrapped,
        ThingEchoed,
    }
}

struct Conformance;

impl Projection for Conformance {
    const NAME: &str = "conformance";
    const READ_MODEL_VERSION: u32 = 1;
    const CATEGORIES: &[&str] = &["thing"];
    // Not `Event`: it would be asked for the types that it knows only.
    type Event<'a> = Payload<'a>;
    type Tables = (Table<Thing>, Table<Group>, Table<Echo>);

    fn apply(event: Recorded<Payload>, (things, groups, echoes): &mut Self::Tables) -> Result<(), Error> {
        let is_known = Event::event_types().is_some_and(|types| types.contains(&event.event_type));
        ensure!(is_known, "unknown event type {}", event.event_type);
        let id = event.aggregate_id;
        match Event::decode(event.data)? {
            Event::ThingStored { group, whole, fraction, note, bytes, flag } => {
                let bytes = bytes.as_deref().map(from_hex).transpose()?;
                let changes = things.get(id).map_or(0, |thing| thing.changes) + 1;
                let id = id.to_owned();
                things.put(Thing { id, group_name: group, whole, fraction, note, bytes, flag, changes });
            }
            Event::ThingTouched => things.get_or_default(id).changes += 1,
            Event::ThingCopied { to } => {
                let Some(thing) = things.get(id) else { bail!("thing {id} is not there") };
                let copy = Thing { id: to, changes: 1, ..thing.clone() };
                things.put(copy);
            }
            Event::ThingRemoved => {
                ensure!(things.get(id).is_some(), "thing {id} is not there");
                things.delete(id);
            }
            Event::GroupCounted { group } => {
                groups.put(counted(&group, "all", &things.find("things_by_group", &[group[..].into()], MAX_MEMBERS)));
                let flagged = things.find("things_by_group", &[group[..].into(), true.into()], MAX_MEMBERS);
                groups.put(counted(&group, "flagged", &flagged));
            }
            Event::GroupDissolved { group } => {
                for thing in things.find("things_by_group", &[group[..].into()], MAX_MEMBERS) {
                    things.delete(&thing.id);
                }
                groups.delete((&group, "all"));
                groups.delete((&group, "flagged"));
            }
            Event::ThingRefused { why } => bail!("refused: {why}"),
            Event::ThingTrapped => panic!("trapped on purpose"),
            Event::ThingEchoed => echoes.put(echo(event)?),
        }
        Ok(())
    }
}

export_projection!(Conformance);

fn counted(group: &str, selection: &str, members: &[Thing]) -> Group {
    Group {
        group_name: group.into(),
        selection: selection.into(),
        members: members.len() as i64,
        total: members.iter().filter_map(|thing| thing.whole).sum(),
        ids: members.iter().map(|thing| thing.id.as_str()).collect::<Vec<_>>().join(","),
    }
}

fn echo(event: Recorded<Payload>) -> Result<Echo, Error> {
    Ok(Echo {
        position: event.position.try_into()?,
        id: event.id.to_string(),
        stream: event.stream.into(),
        category: event.category.into(),
        aggregate_id: event.aggregate_id.into(),
        version: event.version.try_into()?,
        event_type: event.event_type.into(),
        schema_version: event.schema_version,
        time: event.time_micros,
        content_type: event.data.content_type.into(),
        data: match event.data.is_json() {
            true => std::str::from_utf8(event.data.bytes)?.into(),
            false => BASE64.encode(event.data.bytes),
        },
        metadata: event.metadata.into(),
    })
}

fn from_hex(text: &str) -> Result<Vec<u8>, Error> {
    ensure!(text.len().is_multiple_of(2) && text.is_ascii(), "field `bytes`: {text:?} is not hexadecimal");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}
