//! An aggregate that does whatever its events and commands are called, wrong things among them. Speaks the contract
//! itself: the SDK would not let it.
#![cfg(target_arch = "wasm32")]

use lantern_sdk::bindings::aggregate::{AggregateDescription, Command, Decision, Guest, export};
use lantern_sdk::bindings::lantern::plugin::events::{Event, NewEvent};

struct Misbehaving;

impl Guest for Misbehaving {
    fn describe() -> AggregateDescription {
        AggregateDescription { name: "misbehaving".into(), category: "odd".into(), state_schema_version: 1 }
    }

    fn evolve(state: Option<String>, events: Vec<Event>) -> Result<String, String> {
        let mut count: u64 = state.and_then(|state| state.parse().ok()).unwrap_or_default();
        for event in events {
            count += 1;
            match event.event_type.as_str() {
                "NoJson" => return Ok("{".into()),
                "Huge" => return Ok(format!("\"{}\"", "x".repeat(2 << 20))),
                other => misbehave(other)?,
            }
        }
        Ok(count.to_string())
    }

    fn handle(_: Option<String>, command: Command) -> Result<Decision, String> {
        misbehave(&command.command_type)?;
        let event = NewEvent {
            id: "not a uuid at all".into(),
            event_type: "Added".into(),
            schema_version: 1,
            time: i64::MAX,
            content_type: "application/json".into(),
            data: "{}".into(),
            metadata: r#"{"lantern.command":"forged","own":1}"#.into(),
        };
        let event = match command.command_type.as_str() {
            "NoType" => NewEvent { event_type: String::new(), ..event },
            "NoSchema" => NewEvent { schema_version: 0, ..event },
            "NoData" => NewEvent { data: "{".into(), ..event },
            "NoBase64" => NewEvent { content_type: "image/png".into(), data: "?".into(), ..event },
            "NoMetadata" => NewEvent { metadata: "[]".into(), ..event },
            "Large" => NewEvent { data: format!("\"{}\"", "x".repeat(2 << 20)), ..event },
            _ => event,
        };
        let times = if command.command_type == "Many" { 2000 } else { 1 };
        Ok(Decision::Append(vec![event; times]))
    }
}

fn misbehave(how: &str) -> Result<(), String> {
    match how {
        "Panic" => panic!("out of order"),
        "Loop" => loop {
            std::hint::black_box(how);
        },
        "Memory" => {
            drop(std::hint::black_box(vec![0_u8; 256 << 20]));
            Ok(())
        }
        "Fail" => Err("it does not want to".into()),
        _ => Ok(()),
    }
}

export!(Misbehaving with_types_in lantern_sdk::bindings::aggregate);
