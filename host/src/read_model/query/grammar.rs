//! The query grammar, after PostgREST: `total=gte.100&order=total.desc&limit=20&select=id,total`.
//!
//! Text from outside becomes bound values only. Every identifier in the SQL is a name from the
//! declared schema, and every other word of it stands in this file.

use super::literal::{glob, kind, known_state, listed, literal};
use super::{QueryError, QueryOptions};
use crate::read_model::{Column, ColumnType, Table, Value};

/// The most filters in one query.
const MAX_FILTERS: usize = 100;
/// The most values in all its filters together.
const MAX_VALUES: usize = 10_000;
/// The longest pattern, in bytes: SQLite matches one row without looking at the clock.
const MAX_PATTERN_BYTES: usize = 1000;

/// A query that fits its table.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(super) sql: String,
    pub(super) count_sql: Option<String>,
    pub(super) values: Vec<Value>,
    pub(super) columns: Vec<Column>,
    /// Rows skipped before the first one of the answer.
    pub offset: usize,
}

impl Query {
    /// Reads the parameters of a query string, in any order:
    /// `COLUMN=OP.VALUE` (any number of them, all must hold), `select`, `order`, `limit`, `offset`
    /// and `count=exact`. Operators are `eq neq gt gte lt lte like in is`.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] names the parameter, what is wrong and what is known instead.
    pub fn parse(table: &Table, parameters: &[(String, String)], options: &QueryOptions) -> Result<Self, QueryError> {
        let mut draft = Draft { table, filters: Vec::new(), values: Vec::new() };
        let mut plain = Plain::default();
        for (name, value) in parameters {
            let result = match name.as_str() {
                "select" => set(&mut plain.select, value),
                "order" => set(&mut plain.order, value),
                "limit" => set(&mut plain.limit, value),
                "offset" => set(&mut plain.offset, value),
                "count" => set(&mut plain.count, value),
                column => draft.filter(column, value),
            };
            result.map_err(|reason| QueryError::Invalid { parameter: name.clone(), reason })?;
        }
        let invalid =
            |parameter: &'static str| move |reason| QueryError::Invalid { parameter: parameter.to_owned(), reason };
        let columns = selected(table, plain.select).map_err(invalid("select"))?;
        let order = ordered(table, plain.order).map_err(invalid("order"))?;
        let limit = limited(plain.limit, options).map_err(invalid("limit"))?;
        let offset = plain.offset.map_or(Ok(0), number).map_err(invalid("offset"))?;
        let count = counted(plain.count).map_err(invalid("count"))?;

        let from = format!("FROM {}{}", quoted(&table.name), draft.condition());
        let names: Vec<_> = columns.iter().map(|column| quoted(&column.name)).collect();
        let sql = format!("SELECT {} {from} ORDER BY {order} LIMIT {limit} OFFSET {offset}", names.join(", "));
        let count_sql = count.then(|| format!("SELECT count(*) {from}"));
        Ok(Self { sql, count_sql, values: draft.values, columns, offset })
    }
}

/// The parameters that are no filters, as written.
#[derive(Default)]
struct Plain<'a> {
    select: Option<&'a str>,
    order: Option<&'a str>,
    limit: Option<&'a str>,
    offset: Option<&'a str>,
    count: Option<&'a str>,
}

fn set<'a>(place: &mut Option<&'a str>, value: &'a str) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("is given twice".into()),
    }
}

struct Draft<'a> {
    table: &'a Table,
    filters: Vec<String>,
    values: Vec<Value>,
}

impl Draft<'_> {
    fn condition(&self) -> String {
        if self.filters.is_empty() { String::new() } else { format!(" WHERE {}", self.filters.join(" AND ")) }
    }

    fn filter(&mut self, name: &str, text: &str) -> Result<(), String> {
        const SHAPE: &str =
            "write OP.VALUE, for example eq.5; the operators are eq, neq, gt, gte, lt, lte, like, in, is";
        let column = column(self.table, name)?.clone();
        let (operator, value) = text.split_once('.').ok_or_else(|| format!("{text:?} is no filter: {SHAPE}"))?;
        if self.filters.len() == MAX_FILTERS {
            return Err(format!("is one filter too many: at most {MAX_FILTERS} are allowed"));
        }
        let place = quoted(&column.name);
        let filter = match operator {
            "in" => {
                let listed = listed(value)?;
                let marks = vec!["?"; listed.len()].join(", ");
                for value in &listed {
                    self.values.push(literal(&column, value)?);
                }
                format!("{place} IN ({marks})")
            }
            "is" => format!("{place} IS {}", known_state(&column, value)?),
            "like" => {
                if column.column_type != ColumnType::Text {
                    return Err(format!("like is for text, and the column holds {}", kind(&column)));
                }
                if value.len() > MAX_PATTERN_BYTES {
                    return Err(format!(
                        "the pattern has {} bytes; at most {MAX_PATTERN_BYTES} are allowed",
                        value.len()
                    ));
                }
                self.values.push(Value::Text(glob(value)));
                format!("{place} GLOB ?")
            }
            _ => {
                let sign = comparison(operator).ok_or_else(|| format!("{operator:?} is no operator: {SHAPE}"))?;
                self.values.push(literal(&column, value)?);
                format!("{place} {sign} ?")
            }
        };
        if self.values.len() > MAX_VALUES {
            return Err(format!("brings the query to more than {MAX_VALUES} values"));
        }
        self.filters.push(filter);
        Ok(())
    }
}

fn comparison(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "eq" => "=",
        "neq" => "<>",
        "gt" => ">",
        "gte" => ">=",
        "lt" => "<",
        "lte" => "<=",
        _ => return None,
    })
}

fn selected(table: &Table, select: Option<&str>) -> Result<Vec<Column>, String> {
    let Some(select) = select.filter(|select| *select != "*") else {
        return Ok(table.columns.clone());
    };
    let mut columns: Vec<Column> = Vec::new();
    for name in select.split(',') {
        let column = column(table, name)?;
        if columns.contains(column) {
            return Err(format!("names {name:?} twice"));
        }
        columns.push(column.clone());
    }
    Ok(columns)
}

/// The wanted order, then the primary key, so that pages never overlap.
fn ordered(table: &Table, order: Option<&str>) -> Result<String, String> {
    let mut terms = Vec::new();
    let mut named = Vec::new();
    for term in order.iter().flat_map(|order| order.split(',')) {
        let (name, direction) = match term.split_once('.') {
            None | Some((_, "asc")) => (term.strip_suffix(".asc").unwrap_or(term), "ASC"),
            Some((name, "desc")) => (name, "DESC"),
            Some((_, other)) => return Err(format!("{other:?} is no direction: write COLUMN.asc or COLUMN.desc")),
        };
        let column = column(table, name)?;
        if named.contains(&column.name) {
            return Err(format!("names {name:?} twice"));
        }
        named.push(column.name.clone());
        terms.push(format!("{} {direction}", quoted(&column.name)));
    }
    let rest = table.primary_key.iter().filter(|name| !named.contains(name));
    terms.extend(rest.map(|name| format!("{} ASC", quoted(name))));
    Ok(terms.join(", "))
}

fn limited(limit: Option<&str>, options: &QueryOptions) -> Result<usize, String> {
    let Some(text) = limit else { return Ok(options.default_limit) };
    let limit = number(text)?;
    if limit > options.max_limit {
        return Err(format!("{limit} is over the largest limit of {}: read in pages with offset", options.max_limit));
    }
    Ok(limit)
}

fn counted(count: Option<&str>) -> Result<bool, String> {
    match count {
        None => Ok(false),
        Some("exact") => Ok(true),
        Some(other) => Err(format!("{other:?} is not known: the only value is exact")),
    }
}

fn number(text: &str) -> Result<usize, String> {
    // SQLite counts rows in signed 64 bits.
    let number = text.parse::<u32>().map_err(|_| format!("{text:?} is no number from 0 to {}", u32::MAX))?;
    Ok(number as usize)
}

fn column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, String> {
    table.columns.iter().find(|column| column.name == name).ok_or_else(|| {
        let known: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
        format!("table {:?} has no column {name:?}; it has {}", table.name, known.join(", "))
    })
}

fn quoted(name: &str) -> String {
    debug_assert!(super::super::schema::is_identifier(name), "{name:?} is not from a checked schema");
    format!("\"{name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let column = |name: &str, column_type| Column { name: name.into(), column_type, nullable: false };
        Table {
            name: "orders".into(),
            columns: vec![
                column("id", ColumnType::Text),
                column("total", ColumnType::Integer),
                column("paid", ColumnType::Boolean),
            ],
            primary_key: vec!["id".into()],
            indexes: vec![],
        }
    }

    fn parse(pairs: &[(&str, &str)]) -> Result<Query, QueryError> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Query::parse(&table(), &pairs, &QueryOptions::default())
    }

    fn refusal(name: &str, value: &str) -> String {
        parse(&[(name, value)]).expect_err("was taken").to_string()
    }

    #[test]
    fn a_query_becomes_one_statement_with_bound_values() {
        let query = parse(&[
            ("total", "gte.100"),
            ("order", "total.desc"),
            ("limit", "20"),
            ("select", "id,total"),
            ("count", "exact"),
        ])
        .expect("a query");
        assert_eq!(
            query.sql,
            "SELECT \"id\", \"total\" FROM \"orders\" WHERE \"total\" >= ? ORDER BY \"total\" DESC, \"id\" ASC LIMIT 20 OFFSET 0"
        );
        assert_eq!(query.count_sql.as_deref(), Some("SELECT count(*) FROM \"orders\" WHERE \"total\" >= ?"));
        assert_eq!(query.values, [Value::Integer(100)]);
    }

    #[test]
    fn a_refusal_names_the_parameter_and_what_is_known() {
        assert!(refusal("nope", "eq.1").contains("it has id, total, paid"));
        assert!(refusal("total", "eq.ten").contains("an integer"));
        assert!(refusal("total", "like.1*").contains("like is for text"));
        assert!(refusal("id", &format!("like.{}", "*a".repeat(501))).contains("at most 1000"));
        let list = format!("in.({}1)", "1,".repeat(999));
        let error = parse(&vec![("total", list.as_str()); 11]).expect_err("was taken").to_string();
        assert!(error.contains("more than 10000 values"), "{error}");
        assert!(refusal("total", "5").contains("eq.5"));
        assert!(refusal("total", "between.5").contains("\"between\" is no operator"));
        assert!(refusal("paid", "is.maybe").contains("true or false"));
        assert!(refusal("total", "is.true").contains("not_null"));
        assert!(refusal("select", "id,id").contains("twice"));
        assert!(refusal("select", "id,count(*)").contains("no column"));
        assert!(refusal("order", "total.sideways").contains("direction"));
        assert!(refusal("limit", "10001").contains("10000"));
        assert!(refusal("limit", "-1").contains("no number"));
        assert!(refusal("count", "planned").contains("exact"));
        assert!(refusal("id", "in.(a,\"b)").contains("not closed"));
        assert!(parse(&[("limit", "1"), ("limit", "2")]).expect_err("was taken").to_string().contains("twice"));
    }

    /// Strings that have broken other programs, and mixtures of them.
    fn hostile_strings() -> Vec<String> {
        let parts = [
            "'",
            "\"",
            "\0",
            "--",
            ";",
            "/*",
            "*/",
            "\\",
            "%",
            "(",
            ")",
            ",",
            ".",
            "?",
            "?1",
            ":x",
            "@x",
            "$x",
            "\u{202e}",
            "é",
            "日本",
            "\u{1f600}",
            "\u{feff}",
            " ",
            "\n",
            "DROP TABLE orders",
            "SELECT",
            "UNION",
            "NULL",
            "rowid",
            "id",
            "total",
            "\"id\"",
            "[id]",
            "`id`",
            "1=1",
            "x'00'",
        ];
        let mut state = 42u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let mixtures = (0..2000).map(|_| (0..1 + next() % 5).map(|_| parts[next() % parts.len()]).collect::<String>());
        parts.iter().map(|part| (*part).to_owned()).chain(mixtures.collect::<Vec<_>>()).collect()
    }

    #[test]
    fn no_text_from_outside_reaches_the_sql() {
        let skeleton = parse(&[("id", "eq.x")]).expect("a query").sql;
        for hostile in hostile_strings() {
            let query = parse(&[("id", &format!("eq.{hostile}"))]).expect("any text is a text value");
            assert_eq!(query.sql, skeleton);
            assert_eq!(query.values, [Value::Text(hostile.clone())]);
            for name in ["select", "order", "limit", "offset", "count", "total", "paid", hostile.as_str()] {
                let value = if name == "total" || name == "paid" { format!("eq.{hostile}") } else { hostile.clone() };
                if let Ok(query) = parse(&[(name, &value)]) {
                    let known = ["id", "total", "*", "total.asc", "total.desc"].contains(&hostile.as_str());
                    assert!(known, "{name}={value:?} became {}", query.sql);
                }
            }
        }
    }

    #[test]
    fn hostile_text_finds_exactly_its_own_row() {
        let connection = rusqlite::Connection::open_in_memory().expect("opens");
        connection.execute_batch("CREATE TABLE orders (id TEXT PRIMARY KEY, total, paid)").expect("creates");
        for hostile in hostile_strings() {
            connection.execute("INSERT OR IGNORE INTO orders VALUES (?, 1, 0)", [&hostile]).expect("inserts");
        }
        for hostile in hostile_strings().into_iter().take(300) {
            let escaped = hostile.replace('\\', "\\\\").replace('"', "\\\"");
            for filter in [format!("eq.{hostile}"), format!("in.(\"{escaped}\")")] {
                let query = parse(&[("id", &filter), ("select", "id")]).expect("a query");
                let mut statement = connection.prepare(&query.sql).expect("valid SQL");
                let found =
                    statement.query_map(rusqlite::params_from_iter(&query.values), |row| row.get(0)).expect("runs");
                assert_eq!(found.collect::<Result<Vec<String>, _>>().expect("reads"), [hostile.as_str()], "{filter:?}");
            }
        }
    }
}
