//! A conflict resolver that does whatever harm the proposed event asks for.

use std::hint::black_box;

use lantern_sdk::NewEvent;
use lantern_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
enum Event {
    Asked { to: String },
}

struct Hostile;

impl ConflictResolver for Hostile {
    const NAME: &str = "conflicts-hostile";
    const CATEGORIES: &[&str] = &["hostile"];
    type Event = Event;

    fn resolve(conflict: &Conflict<Event>) -> Result<Resolution, Error> {
        let proposed = &conflict.proposed[0];
        let Event::Asked { to } = &proposed.data;
        let event = proposed.unchanged();
        let rewrite = |change: fn(NewEvent) -> NewEvent| Ok(Resolution::Rewrite(vec![change(event.clone())]));
        match to.as_str() {
            "accept" => Ok(Resolution::Accept),
            "fail" => bail!("it wants to fail"),
            "trap" => panic!("trapped on purpose"),
            "loop" => loop {
                black_box(());
            },
            "take all memory" => {
                let mut taken = Vec::new();
                loop {
                    taken.push(black_box(vec![1u8; 1 << 20]));
                }
            }
            "rewrite into none" => Ok(Resolution::Rewrite(Vec::new())),
            "repeat an id" => Ok(Resolution::Rewrite(vec![event.clone(), event])),
            "take an id of the log" => {
                let id = conflict.unseen[0].id.to_string();
                Ok(Resolution::Rewrite(vec![NewEvent { id, ..event }]))
            }
            "answer no id" => rewrite(|event| NewEvent { id: "7".into(), ..event }),
            "answer no json" => rewrite(|event| NewEvent { data: "{".into(), ..event }),
            "answer no metadata" => rewrite(|event| NewEvent { metadata: "[]".into(), ..event }),
            "answer too much" => rewrite(|event| NewEvent { data: format!("\"{}\"", "x".repeat(4 << 20)), ..event }),
            other => bail!("it cannot {other}"),
        }
    }
}

export_conflict_resolver!(Hostile);
