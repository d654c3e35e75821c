//! Values as people write them in a query, read as the type of their column.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::read_model::{Column, ColumnType, Value};

/// The most values in one list.
const MAX_LISTED: usize = 1000;

/// The right side of `IS`.
pub(super) fn known_state(column: &Column, text: &str) -> Result<&'static str, String> {
    match (text, column.column_type) {
        ("null", _) => Ok("NULL"),
        ("not_null", _) => Ok("NOT NULL"),
        ("true", ColumnType::Boolean) => Ok("1"),
        ("false", ColumnType::Boolean) => Ok("0"),
        _ => Err(format!("is takes null or not_null, and for a boolean column true or false; not {text:?}")),
    }
}

/// The value as the column's type.
pub(super) fn literal(column: &Column, text: &str) -> Result<Value, String> {
    let value = match column.column_type {
        ColumnType::Integer => text.parse().map(Value::Integer).ok(),
        ColumnType::Real => text.parse().ok().filter(|real: &f64| !real.is_nan()).map(Value::Real),
        ColumnType::Text => Some(Value::Text(text.to_owned())),
        ColumnType::Blob => STANDARD.decode(text).map(Value::Blob).ok(),
        ColumnType::Boolean => text.parse().map(Value::Boolean).ok(),
    };
    value.ok_or_else(|| format!("the column holds {}, and {text:?} is none; for no value write is.null", kind(column)))
}

pub(super) fn kind(column: &Column) -> &'static str {
    match column.column_type {
        ColumnType::Integer => "an integer (64-bit)",
        ColumnType::Real => "a real number",
        ColumnType::Text => "text",
        ColumnType::Blob => "bytes (written as base64)",
        ColumnType::Boolean => "a boolean (true or false)",
    }
}

/// The values of `(a,b,"c, with \"quotes\"")`.
pub(super) fn listed(text: &str) -> Result<Vec<String>, String> {
    const SHAPE: &str = "write in.(a,b), and a value with a comma in double quotes";
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let inner = inner.ok_or_else(|| format!("{text:?} is no list: {SHAPE}"))?;
    let mut values = Vec::new();
    if inner.is_empty() {
        return Ok(values);
    }
    let mut rest = inner;
    loop {
        let (value, after) = match rest.strip_prefix('"') {
            Some(inside) => {
                unquoted(inside).ok_or_else(|| format!("a double quote in {text:?} is not closed: {SHAPE}"))?
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        values.push(value);
        if values.len() > MAX_LISTED {
            return Err(format!("a list has at most {MAX_LISTED} values"));
        }
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(values),
            None => return Err(format!("{text:?} is no list: {SHAPE}")),
        }
    }
}

/// The text up to the closing quote, with its backslashes resolved, and what follows the quote.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// SQLite's LIKE ignores case and GLOB does not. `%` and `*` stand for any text, `_` for one
/// character, and a backslash takes the next character as it is.
pub(super) fn glob(pattern: &str) -> String {
    let mut glob = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let plain = match character {
            '%' | '*' => {
                glob.push('*');
                continue;
            }
            '_' => {
                glob.push('?');
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        match plain {
            '*' | '?' | '[' => glob.extend(['[', plain, ']']),
            other => glob.push(other),
        }
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_commas_and_quotes_inside_double_quotes() {
        assert_eq!(
            listed(r#"(a,"b,c","d\"e\\",)"#),
            Ok(vec!["a".into(), "b,c".into(), "d\"e\\".into(), String::new()])
        );
        assert!(listed("a,b").is_err());
        assert!(listed("(\"a\"b)").is_err());
    }

    #[test]
    fn a_pattern_keeps_its_plain_characters_plain() {
        assert_eq!(glob("100\\%_[x]?*"), "100%?[[]x][?]*");
    }
}
