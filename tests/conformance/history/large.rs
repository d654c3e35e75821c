//! Numbers that a 64-bit float cannot hold: exact in the rows, or refused with the name of the field. Never silently wrong.

use lantern_tests::{Rows, Seeded};
use rusqlite::types::Value as Cell;

use super::{Event, with_ids};

/// One event, and what it comes to in a language that is exact.
pub struct Large {
    pub event: Event,
    /// What an error has to name.
    pub field: &'static str,
    /// None: everyone must refuse it.
    pub exact: Option<Exact>,
}

/// A cell of the row whose cell `key` is the aggregate id.
pub struct Exact {
    table: &'static str,
    key: usize,
    cell: usize,
    pub value: Cell,
}

impl Large {
    /// What a read model has where the number belongs.
    pub fn found<'r>(&self, rows: &'r Rows) -> Option<&'r Cell> {
        let Exact { table, key, cell, .. } = self.exact.as_ref()?;
        let id = Cell::Text(self.event.aggregate_id().to_owned());
        let row = rows[*table].iter().find(|row| row[*key] == id)?;
        Some(&row[*cell])
    }
}

/// In order; each in a stream of its own.
pub fn large_integers() -> Vec<Large> {
    let mut large = Vec::new();
    for whole in [
        9_007_199_254_740_992,
        9_007_199_254_740_993,
        -9_007_199_254_740_993,
        1_000_000_000_000_000_001,
        i64::MAX,
        i64::MIN,
    ] {
        large.push(stored(&format!("w{whole}"), "whole", &whole.to_string(), Some(Cell::Integer(whole))));
    }
    for (number, beyond) in ["9223372036854775808", "-9223372036854775809"].into_iter().enumerate() {
        large.push(stored(&format!("beyond-{number}"), "whole", beyond, None));
    }
    for (number, text) in
        ["9007199254740993", "100000000000000000000", "12345678901234567890123"].into_iter().enumerate()
    {
        let value = text.parse().expect("a number");
        large.push(stored(&format!("fraction-{number}"), "fraction", text, Some(Cell::Real(value))));
    }
    large.push(late());
    large.extend(sum());
    with_ids(large.iter_mut().map(|large| &mut large.event), &mut Seeded::new(53));
    large
}

fn stored(id: &str, field: &'static str, text: &str, value: Option<Cell>) -> Large {
    let data = format!(r#"{{"group":"{id}","{field}":{text}}}"#);
    let cell = if field == "whole" { 2 } else { 3 };
    let exact = value.map(|value| Exact { table: "things", key: 0, cell, value });
    Large { event: Event::new(&format!("thing-large-{id}"), "ThingStored", data), field, exact }
}

/// In a year whose microseconds are beyond 2^53.
fn late() -> Large {
    let micros = 253_402_300_799_999_999;
    let time = ("9999-12-31T23:59:59.999999Z".to_owned(), micros);
    let event = Event { time, ..Event::new("thing-large-late", "ThingEchoed", "{}") };
    Large {
        event,
        field: "time",
        exact: Some(Exact { table: "echoes", key: 4, cell: 8, value: Cell::Integer(micros) }),
    }
}

/// Two numbers that are exact everywhere, and whose sum is not.
fn sum() -> [Large; 3] {
    let group = "large-sum";
    let part = |id: &str, whole: i64| {
        let event =
            Event::new(&format!("thing-{id}"), "ThingStored", format!(r#"{{"group":"{group}","whole":{whole}}}"#));
        Large {
            event,
            field: "whole",
            exact: Some(Exact { table: "things", key: 0, cell: 2, value: Cell::Integer(whole) }),
        }
    };
    let event = Event::new(&format!("thing-{group}"), "GroupCounted", format!(r#"{{"group":"{group}"}}"#));
    let value = Cell::Integer(9_007_199_254_740_993);
    let counted = Large { event, field: "total", exact: Some(Exact { table: "groups", key: 0, cell: 3, value }) };
    [part("large-part-1", 9_007_199_254_740_991), part("large-part-2", 2), counted]
}
