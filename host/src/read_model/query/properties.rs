//! Random queries give what a plain filter over the rows gives, whatever text rows and queries are made of, and random
//! parameters are answered or refused. `PROPTEST_CASES=100000` tries more of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use rusqlite::params_from_iter;
use tempfile::TempDir;

use super::{Answer, Query, QueryError, QueryOptions, QueryPool};
use crate::read_model::{Column, ColumnType, Row, Table, Value, statements};
use crate::sqlite::{Synchronous, open};

const SEED: u64 = 20_261_121;

fn runner() -> TestRunner {
    TestRunner::new(Config { rng_seed: RngSeed::Fixed(SEED), failure_persistence: None, ..Config::default() })
}

const COLUMNS: [(&str, ColumnType); 5] = [
    ("id", ColumnType::Text),
    ("total", ColumnType::Integer),
    ("weight", ColumnType::Real),
    ("paid", ColumnType::Boolean),
    ("stamp", ColumnType::Blob),
];

fn table() -> Table {
    let column = |(name, column_type): (&str, _)| Column { name: name.into(), column_type, nullable: name != "id" };
    let columns = COLUMNS.map(column).into();
    Table { name: "orders".into(), columns, primary_key: vec!["id".into()], indexes: vec![] }
}

/// Text that means something in SQL, in the grammar or to careless programs, and mixtures of it.
fn text() -> impl Strategy<Value = String> {
    const PARTS: [&str; 40] = [
        "'",
        "\"",
        "\0",
        "--",
        ";",
        "/*",
        "*/",
        "\\",
        "%",
        "*",
        "_",
        "?",
        "[",
        "]",
        "(",
        ")",
        ",",
        ".",
        "?1",
        ":x",
        "@x",
        "$x",
        "é",
        "\u{202e}",
        "日本",
        "\u{1f600}",
        "\u{feff}",
        " ",
        "\n",
        "DROP TABLE orders",
        "UNION SELECT",
        "NULL",
        "rowid",
        "id",
        "lantern_checkpoint",
        "sqlite_master",
        "1=1",
        "x'00'",
        "a",
        "A",
    ];
    let mixture = vec(select(&PARTS[..]), 0..5).prop_map(|parts| parts.concat());
    prop_oneof![4 => mixture, 1 => any::<String>()]
}

fn value(column_type: ColumnType) -> BoxedStrategy<Value> {
    let small = prop_oneof![3 => -3..3i64, 1 => any::<i64>()];
    match column_type {
        ColumnType::Text => text().prop_map(Value::Text).boxed(),
        ColumnType::Integer => small.prop_map(Value::Integer).boxed(),
        ColumnType::Real => {
            let any = any::<f64>().prop_filter("SQLite has no NaN", |real| !real.is_nan());
            prop_oneof![3 => small.prop_map(|half| half as f64 / 2.0), 1 => any].prop_map(Value::Real).boxed()
        }
        ColumnType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        ColumnType::Blob => vec(any::<u8>(), 0..3).prop_map(Value::Blob).boxed(),
    }
}

/// Rows with different keys, in the order of the keys.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let cell = |column_type| prop_oneof![1 => Just(Value::Null), 3 => value(column_type)];
    let others = [1, 2, 3, 4].map(|column| cell(COLUMNS[column].1).boxed());
    vec((text(), others), 500).prop_map(|rows| {
        let rows: BTreeMap<String, [Value; 4]> = rows.into_iter().collect();
        rows.into_iter().map(|(id, others)| [vec![Value::Text(id)], others.into()].concat()).collect()
    })
}

#[derive(Clone, Debug)]
enum Filter {
    Compare(&'static str, Value),
    In(Vec<Value>),
    Like(String),
    Is(&'static str),
}

/// A query before it is written down.
#[derive(Clone, Debug)]
struct Wanted {
    filters: Vec<(usize, Filter)>,
    order: Vec<(usize, bool)>,
    select: Vec<usize>,
    limit: usize,
    offset: usize,
}

fn filter(column: usize) -> BoxedStrategy<(usize, Filter)> {
    let column_type = COLUMNS[column].1;
    let states: &[_] =
        if column_type == ColumnType::Boolean { &["null", "not_null", "true", "false"] } else { &["null", "not_null"] };
    let mut kinds = vec![
        (select(&["eq", "neq", "gt", "gte", "lt", "lte"][..]), value(column_type))
            .prop_map(|(operator, value)| Filter::Compare(operator, value))
            .boxed(),
        vec(value(column_type), 0..4).prop_map(Filter::In).boxed(),
        select(states).prop_map(Filter::Is).boxed(),
    ];
    if column_type == ColumnType::Text {
        kinds.push(text().prop_map(Filter::Like).boxed());
    }
    proptest::strategy::Union::new(kinds).prop_map(move |filter| (column, filter)).boxed()
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let all: Vec<usize> = (0..COLUMNS.len()).collect();
    let filters = vec((0..COLUMNS.len()).prop_flat_map(filter), 0..3);
    let order = subsequence(all.clone(), 0..3).prop_shuffle();
    let order = (order, vec(any::<bool>(), 3)).prop_map(|(order, down)| order.into_iter().zip(down).collect());
    (filters, order, subsequence(all, 1..=5), 0..400usize, 0..5usize)
        .prop_map(|(filters, order, select, limit, offset)| Wanted { filters, order, select, limit, offset })
}

impl Filter {
    fn written(&self) -> String {
        match self {
            Self::Compare(operator, value) => format!("{operator}.{}", plain(value)),
            Self::In(values) => {
                let quoted = |value| format!("\"{}\"", plain(value).replace('\\', "\\\\").replace('"', "\\\""));
                format!("in.({})", values.iter().map(quoted).collect::<Vec<_>>().join(","))
            }
            Self::Like(pattern) => format!("like.{pattern}"),
            Self::Is(state) => format!("is.{state}"),
        }
    }

    fn holds(&self, cell: &Value) -> bool {
        match (self, cell) {
            (Self::Is(state), cell) => match *state {
                "null" => *cell == Value::Null,
                "not_null" => *cell != Value::Null,
                state => *cell == Value::Boolean(state == "true"),
            },
            (_, Value::Null) => false,
            (Self::Compare(operator, value), cell) => {
                let order = compare(cell, value);
                match *operator {
                    "eq" => order.is_eq(),
                    "neq" => order.is_ne(),
                    "gt" => order.is_gt(),
                    "gte" => order.is_ge(),
                    "lt" => order.is_lt(),
                    _ => order.is_le(),
                }
            }
            (Self::In(values), cell) => values.iter().any(|value| compare(cell, value).is_eq()),
            (Self::Like(pattern), Value::Text(text)) => {
                // For GLOB a text ends at its first NUL, and so does a pattern.
                let text: Vec<char> = text.chars().take_while(|letter| *letter != '\0').collect();
                matches(pattern, &text)
            }
            (Self::Like(_), _) => false,
        }
    }
}

/// Follows all ways through the text at once, so that many wildcards take no longer than few.
fn matches(pattern: &str, text: &[char]) -> bool {
    let mut is_reached = vec![false; text.len() + 1];
    is_reached[0] = true;
    let mut pattern = pattern.chars();
    while let Some(letter) = pattern.next() {
        if ['%', '*'].contains(&letter) {
            let first = is_reached.iter().position(|reached| *reached).unwrap_or(is_reached.len());
            is_reached[first..].fill(true);
            continue;
        }
        let plain = if letter == '\\' { pattern.next().unwrap_or(letter) } else { letter };
        if plain == '\0' {
            break;
        }
        for at in (0..text.len()).rev() {
            is_reached[at + 1] = is_reached[at] && (letter == '_' || text[at] == plain);
        }
        is_reached[0] = false;
    }
    is_reached[text.len()]
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => unreachable!("no filter compares with null"),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) => text.clone(),
        Value::Blob(blob) => STANDARD.encode(blob),
        Value::Boolean(boolean) => boolean.to_string(),
    }
}

/// Null comes first.
fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => left.cmp(right),
        (Value::Real(left), Value::Real(right)) => left.partial_cmp(right).expect("no NaN"),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Blob(left), Value::Blob(right)) => left.cmp(right),
        (Value::Boolean(left), Value::Boolean(right)) => left.cmp(right),
        (left, right) => (*left != Value::Null).cmp(&(*right != Value::Null)),
    }
}

impl Wanted {
    fn written(&self) -> Vec<(String, String)> {
        let name = |column: &usize| COLUMNS[*column].0.to_owned();
        let mut pairs: Vec<_> = self.filters.iter().map(|(column, filter)| (name(column), filter.written())).collect();
        let direction = |down: &bool| if *down { ".desc" } else { ".asc" };
        if !self.order.is_empty() {
            let order = self.order.iter().map(|(column, down)| name(column) + direction(down));
            pairs.push(("order".into(), order.collect::<Vec<_>>().join(",")));
        }
        pairs.push(("select".into(), self.select.iter().map(name).collect::<Vec<_>>().join(",")));
        let numbers =
            [("limit", self.limit.to_string()), ("offset", self.offset.to_string()), ("count", "exact".into())];
        pairs.extend(numbers.map(|(name, value)| (name.to_owned(), value)));
        pairs
    }

    /// The rows and how many match, from `rows` in the order of their keys.
    fn found(&self, rows: &[Row]) -> (Vec<Row>, u64) {
        let holds = |row: &&Row| self.filters.iter().all(|(column, filter)| filter.holds(&row[*column]));
        let mut found: Vec<_> = rows.iter().filter(holds).collect();
        found.sort_by(|left, right| {
            let mut orders = self.order.iter().map(|(column, down)| {
                let order = compare(&left[*column], &right[*column]);
                if *down { order.reverse() } else { order }
            });
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        let count = found.len() as u64;
        let page = found.into_iter().skip(self.offset).take(self.limit);
        let selected = |row: &Row| self.select.iter().map(|column| row[*column].clone()).collect();
        (page.map(selected).collect(), count)
    }
}

/// A read model with random rows.
struct Orders {
    folder: TempDir,
    rows: Vec<Row>,
    pool: QueryPool,
}

impl Orders {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = rows().new_tree(&mut runner()).expect("rows").current();
        let mut connection = open(&folder.path().join("orders.db"), 1, Synchronous::Normal).expect("opens");
        let filling = connection.transaction().expect("begins");
        let checkpoint =
            "CREATE TABLE lantern_checkpoint (id, position); INSERT INTO lantern_checkpoint VALUES (1, 7);";
        filling.execute_batch(&format!("{}; {checkpoint}", statements::create(&table()))).expect("makes");
        for row in &rows {
            let put = statements::Statements::of(&table()).put;
            filling.execute(&put, params_from_iter(row)).expect("puts");
        }
        filling.commit().expect("commits");
        Self { folder, rows, pool: QueryPool::new(QueryOptions::default()) }
    }

    fn ask(&self, pairs: &[(String, String)]) -> Result<Answer, QueryError> {
        let query = Query::parse(&table(), pairs, self.pool.options())?;
        self.pool.answer(&self.folder.path().join("orders.db"), &query)
    }
}

#[test]
fn a_query_answers_what_a_plain_filter_over_the_rows_finds() {
    let orders = Orders::new();
    let done = runner().run(&wanted(), |wanted| {
        let answer = orders.ask(&wanted.written()).expect("is answered");
        let (rows, count) = wanted.found(&orders.rows);
        prop_assert_eq!(answer.count, Some(count));
        prop_assert_eq!(answer.rows, rows);
        Ok(())
    });
    done.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn any_parameters_are_answered_or_refused_as_invalid() {
    const NAMES: [&str; 10] =
        ["id", "total", "weight", "paid", "stamp", "select", "order", "limit", "offset", "lantern_checkpoint"];
    const OPERATORS: [&str; 12] =
        ["eq.", "neq.", "gt.", "gte.", "lt.", "lte.", "like.", "in.", "in.(", "is.", "id.", ""];
    let name = prop_oneof![4 => select(&NAMES[..]).prop_map(str::to_owned), 1 => text()];
    let value = (select(&OPERATORS[..]), text()).prop_map(|(operator, text)| operator.to_owned() + &text);
    let orders = Orders::new();
    let done = runner().run(&vec((name, value), 0..4), |pairs| {
        let answer = orders.ask(&pairs);
        prop_assert!(matches!(answer, Ok(_) | Err(QueryError::Invalid { .. })), "{:?}", answer);
        Ok(())
    });
    done.unwrap_or_else(|failure| panic!("{failure}"));
}
