//! What a plugin says of itself, checked before anyone relies on it.

use std::collections::BTreeSet;

use super::bindings::typed::lantern::plugin::schema as guest;
use super::error::Problem;
use crate::code::PluginName;
use crate::event::{self, Interest, Invalid};
use crate::projection::Description;
use crate::read_model::{Column, ColumnType, Index, Schema, Table};
use crate::upcast::{EventShape, UpcasterSource};

/// The most interests, and the most event types in one of them.
const MAX_INTERESTS: usize = 1000;

/// # Errors
/// [`Problem::Description`] with the first rule that is broken.
pub(super) fn check(described: guest::ProjectionDescription) -> Result<Description, Problem> {
    let name = check_plugin_name(&described.name)?;
    let interests = described
        .interests
        .into_iter()
        .map(|interest| Interest { category: interest.category, event_types: interest.event_types });
    let interests: Vec<_> = interests.collect();
    check_interests(&interests).map_err(refused)?;
    let tables = described.tables.into_iter().map(table).collect();
    let schema = Schema::new(tables).map_err(|error| Problem::Description { reason: error.to_string() })?;
    Ok(Description { name, read_model_version: described.read_model_version, interests: interests.into(), schema })
}

pub(super) fn check_plugin_name(name: &str) -> Result<PluginName, Problem> {
    name.parse().map_err(refused)
}

/// # Errors
/// When there is none, or one is no category.
pub(super) fn check_categories(categories: &[String]) -> Result<(), Problem> {
    if categories.is_empty() || categories.len() > MAX_INTERESTS {
        return Err(refused(Invalid(format!("categories: 1 to {MAX_INTERESTS} are allowed"))));
    }
    for category in categories {
        event::check_name("category", category).map_err(refused)?;
        if category.contains('-') {
            return Err(refused(Invalid(format!("the category {category:?} contains '-', which ends a category"))));
        }
    }
    Ok(())
}

/// # Errors
/// When there is none, one stands there twice, or one takes or becomes what is no shape of an event.
pub(super) fn check_sources(sources: &[UpcasterSource]) -> Result<(), Problem> {
    let becoming: usize = sources.iter().map(|source| source.becomes.len()).sum();
    if sources.is_empty() || becoming.max(sources.len()) > MAX_INTERESTS {
        return Err(refused(Invalid(format!("sources, and what they become: 1 to {MAX_INTERESTS} are allowed"))));
    }
    let mut taken = BTreeSet::new();
    for UpcasterSource { shape, becomes } in sources {
        if !taken.insert(shape) {
            return Err(refused(Invalid(format!("{shape} is a source twice"))));
        }
        if becomes.is_empty() {
            return Err(refused(Invalid(format!("{shape} becomes nothing: say which shapes stand in its place"))));
        }
        for EventShape { event_type, schema_version } in std::iter::once(shape).chain(becomes) {
            event::check_name("event type of a shape", event_type).map_err(refused)?;
            if *schema_version == 0 {
                return Err(refused(Invalid(format!("{event_type} has no schema version 0: the first is 1"))));
            }
        }
    }
    Ok(())
}

fn refused(error: Invalid) -> Problem {
    Problem::Description { reason: error.0 }
}

fn check_interests(interests: &[Interest]) -> Result<(), Invalid> {
    let most = interests.iter().map(|interest| interest.event_types.len()).max().unwrap_or_default();
    if interests.is_empty() || interests.len().max(most) > MAX_INTERESTS {
        return Err(Invalid(format!("interests and event types in each: 1 to {MAX_INTERESTS} are allowed")));
    }
    for interest in interests {
        if let Some(category) = &interest.category {
            event::check_name("category of an interest", category)?;
        }
        for event_type in &interest.event_types {
            event::check_name("event type of an interest", event_type)?;
        }
    }
    Ok(())
}

fn table(table: guest::Table) -> Table {
    Table {
        name: table.name,
        columns: table.columns.into_iter().map(column).collect(),
        primary_key: table.primary_key,
        indexes: table.indexes.into_iter().map(|index| Index { name: index.name, columns: index.columns }).collect(),
    }
}

fn column(column: guest::Column) -> Column {
    let column_type = match column.column_type {
        guest::ColumnType::Integer => ColumnType::Integer,
        guest::ColumnType::Real => ColumnType::Real,
        guest::ColumnType::Text => ColumnType::Text,
        guest::ColumnType::Blob => ColumnType::Blob,
        guest::ColumnType::Boolean => ColumnType::Boolean,
    };
    Column { name: column.name, column_type, nullable: column.nullable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_without_interests_or_with_empty_names_is_refused() {
        let interest =
            |category: &str| Interest { category: Some(category.into()), event_types: vec!["Placed".into()] };
        assert!(check_interests(&[]).is_err());
        assert!(check_interests(&[interest("")]).is_err());
        assert!(check_interests(&[Interest { event_types: vec![String::new()], ..interest("order") }]).is_err());
        assert!(check_interests(&[interest("order"), Interest::everything()]).is_ok());
    }
}
