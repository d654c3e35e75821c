//! Committed rows through the imports of the world. Only in a guest.

use super::{CommittedRows, Value};
use crate::bindings::lantern::plugin::read_model;

/// The rows that the host keeps.
pub struct HostRows;

impl CommittedRows for HostRows {
    fn get(&self, table: &str, key: Vec<Value>) -> Option<Vec<Value>> {
        read_model::get(table, &key)
    }

    fn get_many(&self, table: &str, keys: Vec<Vec<Value>>) -> Vec<Option<Vec<Value>>> {
        read_model::get_many(table, &keys)
    }

    fn find(&self, table: &str, index: &str, values: &[Value], limit: u32) -> Vec<Vec<Value>> {
        read_model::find(table, index, values, limit)
    }

    fn is_empty(&self, table: &str) -> bool {
        read_model::is_empty(table)
    }
}
