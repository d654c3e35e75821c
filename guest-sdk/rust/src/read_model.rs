//! The rows of a projection: how they are declared, cached in the guest and handed over.

mod cache;
mod changed_index;
mod column;
mod host_rows;
mod row;
mod slots_by_hash;
mod table;
mod tables;

pub use column::{Column, KeyColumn};
pub use host_rows::HostRows;
pub use row::{ColumnDeclaration, IndexDeclaration, Row, TableDeclaration};
pub use table::Table;
pub use tables::Tables;

pub use crate::bindings::lantern::plugin::read_model::Value;
pub use crate::bindings::lantern::plugin::schema::ColumnType;

/// The most rows that one call to the host may ask for.
pub const MAX_ROWS_PER_READ: usize = 10_000;

/// Committed rows, as the host answers for them: a row is the values of all columns.
pub trait CommittedRows {
    fn get(&self, table: &str, key: Vec<Value>) -> Option<Vec<Value>>;

    /// The answer has the order of `keys`, of which there are at most [`MAX_ROWS_PER_READ`].
    fn get_many(&self, table: &str, keys: Vec<Vec<Value>>) -> Vec<Option<Vec<Value>>>;

    /// Rows whose indexed columns start with `values`, ordered by primary key.
    fn find(&self, table: &str, index: &str, values: &[Value], limit: u32) -> Vec<Vec<Value>>;

    fn is_empty(&self, table: &str) -> bool;
}

#[cfg(test)]
mod tests;
