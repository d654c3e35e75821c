//! What a query became, for `crate::fuzzing`.

use super::Query;

/// Every statement of the query, and how many values it binds.
pub(in crate::read_model) fn sql_of(query: &Query) -> impl Iterator<Item = (&str, usize)> {
    let statements = std::iter::once(query.sql.as_str()).chain(query.count_sql.as_deref());
    statements.map(|sql| (sql, query.values.len()))
}
