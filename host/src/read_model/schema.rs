//! The declared shape of a read model, checked before any table is made.

/// A column's type. SQLite stores them as INTEGER, REAL, TEXT, BLOB and INTEGER (0 or 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Integer,
    Real,
    Text,
    Blob,
    Boolean,
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Text => "text",
            Self::Blob => "blob",
            Self::Boolean => "boolean",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub column_type: ColumnType,
    pub nullable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub name: String,
    pub columns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Names of columns, in key order.
    pub primary_key: Vec<String>,
    pub indexes: Vec<Index>,
}

/// The tables of a read model. Every name in it is a plain lower-case identifier, so it can stand
/// in SQL as it is, between double quotes. The default has no tables: they are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    tables: Vec<Table>,
}

/// What is wrong with a declared schema, in words for the plugin's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(String);

/// Limits of a declared schema.
pub const MAX_TABLES: usize = 32;
pub const MAX_COLUMNS: usize = 100;
pub const MAX_KEY_COLUMNS: usize = 8;
pub const MAX_INDEXES: usize = 16;

/// Words that stand for something else in a query string, so no column may have them as its name.
pub const RESERVED_COLUMNS: [&str; 7] = ["select", "order", "limit", "offset", "count", "at_least", "timeout_ms"];

impl Schema {
    /// Takes tables that keep the rules written in `wit/read-model.wit`.
    ///
    /// # Errors
    /// Names the table and the first rule that it breaks.
    pub fn new(tables: Vec<Table>) -> Result<Self, SchemaError> {
        limit("tables", tables.len(), 1, MAX_TABLES)?;
        distinct("table", tables.iter().map(|table| table.name.as_str()))?;
        // Index names share one namespace in SQLite with the tables of the file.
        distinct("index", tables.iter().flat_map(|table| &table.indexes).map(|index| index.name.as_str()))?;
        for table in &tables {
            table.check().map_err(|error| SchemaError(format!("table {:?}: {error}", table.name)))?;
        }
        Ok(Self { tables })
    }

    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

impl Table {
    /// The place of a column in the row.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The places of the primary-key columns in the row, in key order.
    pub fn key_columns(&self) -> Vec<usize> {
        self.primary_key.iter().filter_map(|name| self.column_index(name)).collect()
    }

    fn check(&self) -> Result<(), SchemaError> {
        identifier(&self.name)?;
        if self.name.starts_with("lantern_") || self.name.starts_with("sqlite_") {
            return Err(SchemaError("names that start with lantern_ or sqlite_ are reserved".into()));
        }
        limit("columns", self.columns.len(), 1, MAX_COLUMNS)?;
        limit("primary-key columns", self.primary_key.len(), 1, MAX_KEY_COLUMNS)?;
        limit("indexes", self.indexes.len(), 0, MAX_INDEXES)?;
        distinct("column", self.columns.iter().map(|column| column.name.as_str()))?;
        distinct("primary-key column", self.primary_key.iter().map(String::as_str))?;
        for column in &self.columns {
            identifier(&column.name)?;
            if RESERVED_COLUMNS.contains(&column.name.as_str()) {
                return Err(SchemaError(format!("column {:?}: the query API reserves this word", column.name)));
            }
        }
        for name in &self.primary_key {
            let index = self.column_index(name).ok_or_else(|| unknown("primary key", name))?;
            if self.columns[index].nullable {
                return Err(SchemaError(format!("primary-key column {name:?} may not be nullable")));
            }
        }
        for index in &self.indexes {
            identifier(&index.name)?;
            limit("columns in an index", index.columns.len(), 1, MAX_KEY_COLUMNS)?;
            distinct("index column", index.columns.iter().map(String::as_str))?;
            if let Some(name) = index.columns.iter().find(|name| self.column_index(name).is_none()) {
                return Err(unknown(&format!("index {:?}", index.name), name));
            }
        }
        Ok(())
    }
}

/// Whether `name` is `[a-z][a-z0-9_]{0,62}`.
pub fn is_identifier(name: &str) -> bool {
    let bytes = name.as_bytes();
    matches!(bytes.first(), Some(b'a'..=b'z'))
        && bytes.len() <= 63
        && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn identifier(name: &str) -> Result<(), SchemaError> {
    if is_identifier(name) {
        return Ok(());
    }
    Err(SchemaError(format!(
        "the name {name:?} is not allowed: use a lower-case letter, then up to 62 lower-case letters, digits and underscores"
    )))
}

fn unknown(place: &str, column: &str) -> SchemaError {
    SchemaError(format!("{place} names a column {column:?} that the table does not have"))
}

fn limit(what: &str, count: usize, least: usize, most: usize) -> Result<(), SchemaError> {
    if (least..=most).contains(&count) {
        return Ok(());
    }
    Err(SchemaError(format!("{count} {what}; allowed are {least} to {most}")))
}

fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), SchemaError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(SchemaError(format!("the {what} {name:?} is declared twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Table {
        let column = |name: &str, column_type, nullable| Column { name: name.into(), column_type, nullable };
        Table {
            name: "orders".into(),
            columns: vec![column("id", ColumnType::Text, false), column("total", ColumnType::Integer, true)],
            primary_key: vec!["id".into()],
            indexes: vec![Index { name: "by_total".into(), columns: vec!["total".into()] }],
        }
    }

    fn refusal(change: impl FnOnce(&mut Table)) -> String {
        let mut table = orders();
        change(&mut table);
        Schema::new(vec![table]).expect_err("was taken").to_string()
    }

    #[test]
    fn a_sound_schema_is_taken() {
        let schema = Schema::new(vec![orders()]).expect("sound");
        assert_eq!(schema.table("orders").map(Table::key_columns), Some(vec![0]));
    }

    #[test]
    fn every_broken_rule_is_named_with_its_table() {
        assert!(refusal(|table| table.name = "Orders; drop".into()).contains("not allowed"));
        assert!(refusal(|table| table.name = "lantern_x".into()).contains("reserved"));
        assert!(refusal(|table| table.columns.clear()).contains("0 columns"));
        assert!(refusal(|table| table.columns[1].name = "id".into()).contains("declared twice"));
        assert!(refusal(|table| table.columns[1].name = "limit".into()).contains("reserves"));
        assert!(refusal(|table| table.columns[0].nullable = true).contains("may not be nullable"));
        assert!(refusal(|table| table.primary_key = vec!["nope".into()]).contains("\"nope\""));
        assert!(refusal(|table| table.indexes[0].columns = vec!["nope".into()]).contains("by_total"));
        assert!(refusal(|table| table.primary_key.clear()).starts_with("table \"orders\""));
    }

    #[test]
    fn two_tables_of_one_name_are_refused() {
        assert!(Schema::new(vec![orders(), orders()]).is_err());
        assert!(Schema::new(vec![]).is_err());
    }
}
