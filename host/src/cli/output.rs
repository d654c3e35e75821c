//! What commands print: JSON for machines, tables and sentences for people. The only module that writes to standard
//! output, so that a reader who goes away (`| head`) is no error anywhere.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::client::Failure;

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Person,
    Json,
}

/// Prints text and ends the line.
pub fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
}

/// A colour for a whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Red,
    Green,
    Yellow,
}

impl Paint {
    /// The line in this colour, where there are colours.
    pub fn on(self, line: String) -> String {
        let code = match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
        };
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if colours { format!("\x1b[{code}m{line}\x1b[0m") } else { line }
    }
}

/// A table without borders between rows, with headings, ready to be filled.
pub fn table<T: ToString>(headings: impl IntoIterator<Item = T>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        table.force_no_tty();
    }
    table.set_header(headings.into_iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
    table
}

/// Prints a table.
pub fn print_table(table: &Table) -> io::Result<()> {
    print(unindented(table))
}

/// The lines of a table without the spaces that fill them.
pub fn unindented(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    let indent = usize::from(lines.iter().all(|line| line.is_empty() || line.starts_with(' ')));
    lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// A number in a table, with separators, at the right edge.
pub fn number(value: impl Into<u64>) -> Cell {
    Cell::new(grouped(value.into())).set_alignment(CellAlignment::Right)
}

/// The state of a projection or plugin in the colour of a traffic light.
pub fn state(value: &Value) -> Cell {
    let name = words(value);
    let color = match name.as_str() {
        "live" | "loaded" => Color::Green,
        "catching up" | "loading" | "replaying" => Color::Cyan,
        "paused" | "retrying" | "plugin missing" => Color::Yellow,
        _ => Color::Red,
    };
    Cell::new(name).fg(color)
}

/// `catching_up`, `catching-up` and `CatchingUp` are `catching up` for a person.
pub fn words(value: &Value) -> String {
    let mut words = String::new();
    for letter in value.as_str().unwrap_or("unknown").chars() {
        match letter {
            '_' | '-' => words.push(' '),
            _ if letter.is_uppercase() => {
                if !words.is_empty() {
                    words.push(' ');
                }
                words.extend(letter.to_lowercase());
            }
            _ => words.push(letter),
        }
    }
    words
}

/// A value of a row or of event data for a person: text without quotes, `-` for null.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A number of a JSON object; 0 when it is not there.
pub fn count(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// A text of a JSON object; empty when it is not there.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

/// A file's name, which may hold any character: those that are not shown are spelt out.
pub fn file_name(value: &Value, name: &str) -> String {
    text(value, name).escape_debug().to_string()
}

/// Takes the list of this name out of an answer.
pub fn list(answer: &mut Value, name: &str) -> Result<Vec<Value>, Failure> {
    match answer.get_mut(name).map(Value::take) {
        Some(Value::Array(list)) => Ok(list),
        _ => Err(Failure::new(
            format!("the daemon's answer has no list of {}", name.replace('_', " ")),
            "use a `lantern` of the same version as the daemon",
        )),
    }
}

/// The elements of a list in a JSON object; none when it is not there.
pub fn elements<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// Labels and what they say, one a line.
pub fn sheet(lines: &[(&str, String)]) -> String {
    let lines: Vec<String> =
        lines.iter().map(|(label, value)| format!("{label:<14}{value}").trim_end().to_owned()).collect();
    lines.join("\n")
}

/// `1234567` is `1,234,567`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 row`, `2,000 rows`.
pub fn counted(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(value), if value == 1 { "" } else { "s" })
}

/// `840 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(value: Duration) -> String {
    let seconds = value.as_secs();
    match seconds {
        0 => format!("{} ms", value.as_millis()),
        1..10 if value.subsec_millis() >= 50 => format!("{:.1} s", value.as_secs_f64()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `512 B`, `1.4 MiB`.
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// The start of a text that is too long for a line.
pub fn shortened(text: &str, characters: usize) -> String {
    let line = text.replace(['\n', '\r', '\t'], " ");
    match line.char_indices().nth(characters) {
        None => line,
        Some(_) => line.chars().take(characters.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// An object of an answer with its fields in the order in which they came.
pub struct OrderedObject(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for OrderedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = OrderedObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedObject, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(OrderedObject(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_read_like_sentences() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000_898), "1,000,898");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(0, "row"), "0 rows");
        assert_eq!(duration(Duration::from_millis(840)), "840 ms");
        assert_eq!(duration(Duration::from_millis(4_240)), "4.2 s");
        assert_eq!(duration(Duration::from_secs(7)), "7 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(duration(Duration::from_secs(7_500)), "2 h 5 min");
    }

    #[test]
    fn a_state_reads_the_same_however_it_is_spelt() {
        for name in ["catching_up", "catching-up", "CatchingUp", "catching up"] {
            assert_eq!(words(&Value::from(name)), "catching up");
        }
    }

    #[test]
    fn the_fields_of_a_row_keep_their_order() {
        let row: OrderedObject = serde_json::from_str(r#"{"z":1,"a":null,"m":"x"}"#).expect("an object");
        let names: Vec<&str> = row.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["z", "a", "m"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
        assert_eq!(shortened("a\nb", 10), "a b");
    }

    #[test]
    fn a_table_has_no_space_at_its_edges() {
        let mut table = table(["NAME", "ROWS"]);
        table.add_row([Cell::new("a"), number(1_234_u64)]);
        table.force_no_tty();
        assert_eq!(unindented(&table), "NAME  ROWS\na     1,234");
    }
}
