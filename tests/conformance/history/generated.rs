//! Thousands of events of things, from a seed: enough that batches, caches and searches meet in every way.

use std::collections::BTreeSet;

use lantern_tests::Seeded;
use serde_json::json;

use super::Event;
use super::special::{self, NAMES};

const EVENTS: u64 = 4_000;
const THINGS: u64 = 300;
const GROUPS: u64 = 25;

/// The special cases and the many, mixed.
pub fn things(random: &mut Seeded) -> Vec<Event> {
    let mut events = special::sound();
    let mut failing = special::failing();
    let mut failed = Vec::new();
    let mut maybe_there = BTreeSet::new();
    for number in 0..EVENTS {
        events.push(one(random, &mut maybe_there));
        if number % 60 == 30
            && let Some(event) = failing.pop()
        {
            failed.push(event.stream.clone());
            // What waits behind a failed event must not be applied, nor disturb what others do.
            events.push(Event::new(&event.stream, "ThingStored", r#"{"group":"before","whole":1}"#));
            if event.event_type == "ThingRemoved" || event.event_type == "ThingCopied" {
                events.push(Event::new(&event.stream, "ThingRemoved", "{}"));
            }
            events.push(event);
        }
        if number % 50 == 0 && !failed.is_empty() {
            let stream = &failed[random.below(failed.len() as u64) as usize];
            let (id, waiting) = ("\"unseen\"", random.below(4));
            events.push(match waiting {
                0 => Event::new(stream, "ThingStored", r#"{"group":"group-1","whole":1,"flag":true}"#),
                1 => Event::new(stream, "ThingCopied", format!("{{\"to\":{id}}}")),
                2 => Event::new(stream, "GroupDissolved", r#"{"group":"group-2"}"#),
                _ => Event::new(stream, "ThingTouched", "{}"),
            });
        }
    }
    assert!(failing.is_empty(), "{} failing events found no place", failing.len());
    events
}

/// One event that most often succeeds: a thing is copied and removed only when it may well be there.
fn one(random: &mut Seeded, maybe_there: &mut BTreeSet<u64>) -> Event {
    let thing = random.below(THINGS);
    let id = match NAMES.get(thing as usize) {
        Some(name) => format!("{name} {thing}"),
        None => format!("{thing}"),
    };
    let group = json!({ "group": format!("group-{}", random.below(GROUPS)) }).to_string();
    let is_there = maybe_there.contains(&thing);
    let (event_type, data) = match random.below(100) {
        0..45 => ("ThingStored", stored(random)),
        45..65 => ("ThingTouched", ["{}", "null", r#"{"group":"no"}"#][random.below(3) as usize].to_owned()),
        65..72 if is_there => {
            // Out of reach of everything that removes, and of the other groups' sums.
            ("ThingCopied", json!({ "to": format!("copy {}", random.below(200)) }).to_string())
        }
        72..79 if is_there => ("ThingRemoved", "{}".to_owned()),
        79..92 => ("GroupCounted", group),
        92..94 => ("GroupDissolved", json!({ "group": format!("group-{}", random.below(3)) }).to_string()),
        94..100 => ("ThingEchoed", stored(random)),
        _ => ("ThingTouched", "{}".to_owned()),
    };
    match event_type {
        "ThingStored" | "ThingTouched" => drop(maybe_there.insert(thing)),
        "ThingRemoved" => drop(maybe_there.remove(&thing)),
        "GroupDissolved" => maybe_there.clear(),
        _ => {}
    }
    Event::new(&format!("thing-{id}"), event_type, data)
}

/// The data of a ThingStored, written in one of many ways.
fn stored(random: &mut Seeded) -> String {
    let mut fields = vec![format!("\"group\":\"group-{}\"", random.below(GROUPS))];
    let mut field = |random: &mut Seeded, name: &str, value: String| match random.below(5) {
        0 => {}
        1 => fields.push(format!("\"{name}\":null")),
        _ => fields.push(format!("\"{name}\":{value}")),
    };
    let whole = random.below(2_000_000_000) as i64 - 1_000_000_000;
    field(random, "whole", whole.to_string());
    let fraction = fraction(random);
    field(random, "fraction", fraction);
    let note = note(random);
    field(random, "note", note);
    let bytes: String = (0..random.below(20)).map(|_| format!("{:02x}", random.below(256))).collect();
    field(random, "bytes", format!("\"{bytes}\""));
    let flag = random.below(2) == 0;
    field(random, "flag", flag.to_string());
    field(random, "unknown", "{\"group\":[\"no\",{}]}".to_owned());
    let first = random.below(fields.len() as u64) as usize;
    fields.rotate_left(first);
    let between = [",", ", ", " ,\t"][random.below(3) as usize];
    format!("{{{}}}", fields.join(between))
}

/// Any finite number, with as many digits as it needs.
fn fraction(random: &mut Seeded) -> String {
    let number = f64::from_bits(random.below(u64::MAX));
    let number = if number.is_finite() { number } else { 0.5 };
    if random.below(2) == 0 { format!("{number:e}") } else { format!("{:?}", random.below(1_000_000) as f64 / 1_000.0) }
}

/// A JSON string; half of them with everything beyond ASCII escaped.
fn note(random: &mut Seeded) -> String {
    const LETTERS: [char; 16] = [
        'a',
        'B',
        ' ',
        '"',
        '\\',
        '\n',
        '\0',
        'é',
        '\u{301}',
        'ß',
        'ש',
        '日',
        '🚀',
        '\u{200d}',
        '\u{2028}',
        '\u{10ffff}',
    ];
    let text: String = (0..random.below(12)).map(|_| LETTERS[random.below(16) as usize]).collect();
    let quoted = json!(text).to_string();
    if random.below(2) == 0 {
        return quoted;
    }
    let escape = |letter: char| match letter {
        ' '..='~' => letter.to_string(),
        _ => letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    quoted.chars().map(escape).collect()
}
