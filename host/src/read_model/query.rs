//! Reads for people: the rows of one declared table, and the checkpoint they belong to, from one
//! moment. Nothing here writes, waits for a projection, or knows who asks.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::statements::read_value;
use super::{Column, Row, Value};
use crate::event::Position;
use crate::sqlite;

mod grammar;
mod literal;
pub use grammar::Query;

/// Limits of queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryOptions {
    /// Rows of an answer when the query names no limit.
    pub default_limit: usize,
    /// The largest limit that a query may name.
    pub max_limit: usize,
    /// The most bytes of text and blobs in one answer.
    pub max_answer_bytes: usize,
    /// How long SQLite may work on one query before it is interrupted.
    pub timeout: Duration,
    /// Open connections kept for the next query.
    pub idle_connections: usize,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            default_limit: 100,
            max_limit: 10_000,
            max_answer_bytes: 32 << 20,
            timeout: Duration::from_secs(5),
            idle_connections: 8,
        }
    }
}

/// The rows that a query selects.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The selected columns, in the order of the values in each row.
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// The checkpoint that the rows belong to, read in the same transaction.
    pub position: Position,
    /// All rows that match the filters, when the query asks for the number.
    pub count: Option<u64>,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The query breaks the grammar or does not fit the table.
    #[error("query parameter {parameter:?}: {reason}")]
    Invalid { parameter: String, reason: String },
    #[error("the query took longer than {} ms and was stopped", limit.as_millis())]
    TimedOut { limit: Duration },
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    /// Its projection has not begun to run, or it was replaced and deleted meanwhile.
    #[error("the read model {} is not there", path.display())]
    Missing { path: PathBuf },
    #[error("the read model {} cannot be read: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

/// Answers queries over read-only connections, a few of which stay open between queries.
#[derive(Debug)]
pub struct QueryPool {
    options: QueryOptions,
    idle: Mutex<Vec<Reader>>,
}

#[derive(Debug)]
struct Reader {
    path: PathBuf,
    file: FileIdentity,
    connection: Connection,
}

/// Device and inode. While a connection holds a file open its inode is not given to another file,
/// so a connection never answers for a newer file of the same name.
type FileIdentity = (u64, u64);

impl QueryPool {
    pub fn new(options: QueryOptions) -> Self {
        Self { options, idle: Mutex::default() }
    }

    pub fn options(&self) -> &QueryOptions {
        &self.options
    }

    /// Answers a query from the read model in the file at `path`. Blocks.
    ///
    /// # Errors
    /// [`QueryError::Missing`] or [`QueryError::Sqlite`] when the file cannot be read; the other
    /// variants when the query passes a limit.
    pub fn answer(&self, path: &Path, query: &Query) -> Result<Answer, QueryError> {
        let mut reader = self.take(path)?;
        let answer = read(&mut reader.connection, query, &self.options).map_err(|failure| failure.at(path));
        if answer.is_ok() {
            self.give_back(reader);
        }
        answer
    }

    fn take(&self, path: &Path) -> Result<Reader, QueryError> {
        let Some(file) = identity(path) else {
            return Err(QueryError::Missing { path: path.to_owned() });
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = idle.iter().position(|reader| reader.file == file && reader.path == path) {
            return Ok(idle.swap_remove(index));
        }
        drop(idle);
        let connection =
            sqlite::open_read_only(path).map_err(|source| QueryError::Sqlite { path: path.to_owned(), source })?;
        Ok(Reader { path: path.to_owned(), file, connection })
    }

    /// Keeps the connection, and lets go of those whose file is gone.
    fn give_back(&self, reader: Reader) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(reader);
        idle.retain(|reader| identity(&reader.path) == Some(reader.file));
        let surplus = idle.len().saturating_sub(self.options.idle_connections);
        idle.drain(..surplus);
    }
}

fn identity(path: &Path) -> Option<FileIdentity> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

enum Failure {
    Sqlite(rusqlite::Error),
    TooLarge(usize),
    TimedOut(Duration),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    fn at(self, path: &Path) -> QueryError {
        match self {
            Self::Sqlite(source) => QueryError::Sqlite { path: path.to_owned(), source },
            Self::TooLarge(limit) => QueryError::TooLarge { limit },
            Self::TimedOut(limit) => QueryError::TimedOut { limit },
        }
    }
}

fn read(connection: &mut Connection, query: &Query, options: &QueryOptions) -> Result<Answer, Failure> {
    const INSTRUCTIONS_BETWEEN_LOOKS_AT_THE_CLOCK: i32 = 1000;
    let deadline = Instant::now() + options.timeout;
    connection.progress_handler(INSTRUCTIONS_BETWEEN_LOOKS_AT_THE_CLOCK, Some(move || Instant::now() >= deadline))?;
    let answer = read_snapshot(connection, query, options).map_err(|failure| match failure {
        Failure::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Failure::TimedOut(options.timeout)
        }
        other => other,
    });
    connection.progress_handler(0, None::<fn() -> bool>)?;
    answer
}

/// The transaction makes one snapshot of rows, count and checkpoint.
fn read_snapshot(connection: &mut Connection, query: &Query, options: &QueryOptions) -> Result<Answer, Failure> {
    let snapshot = connection.transaction()?;
    let position = snapshot
        .prepare_cached("SELECT position FROM lantern_checkpoint WHERE id = 1")?
        .query_row([], |row| row.get(0).map(Position))?;
    let count = match &query.count_sql {
        Some(sql) => Some(snapshot.prepare_cached(sql)?.query_row(params_from_iter(&query.values), |row| row.get(0))?),
        None => None,
    };
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut statement = snapshot.prepare_cached(&query.sql)?;
    let mut found = statement.query(params_from_iter(&query.values))?;
    while let Some(row) = found.next()? {
        let cells = query.columns.iter().enumerate();
        let row: Row =
            cells.map(|(index, column)| read_value(row, index, column.column_type)).collect::<rusqlite::Result<_>>()?;
        bytes += row.iter().map(size).sum::<usize>();
        if bytes > options.max_answer_bytes {
            return Err(Failure::TooLarge(options.max_answer_bytes));
        }
        rows.push(row);
    }
    Ok(Answer { columns: query.columns.clone(), rows, position, count })
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) | Value::Boolean(_) => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_model::{ColumnType, Table};

    fn table() -> Table {
        let column = |name: &str, column_type, nullable| Column { name: name.into(), column_type, nullable };
        Table {
            name: "orders".into(),
            columns: vec![
                column("id", ColumnType::Text, false),
                column("total", ColumnType::Integer, true),
                column("weight", ColumnType::Real, true),
                column("paid", ColumnType::Boolean, true),
                column("stamp", ColumnType::Blob, true),
            ],
            primary_key: vec!["id".into()],
            indexes: vec![],
        }
    }

    /// A read model of four orders at position 7.
    fn file(path: &Path) {
        let connection = Connection::open(path).expect("opens");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE lantern_checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL);
                 INSERT INTO lantern_checkpoint VALUES (1, 7);
                 CREATE TABLE orders (id TEXT, total INTEGER, weight REAL, paid INTEGER, stamp BLOB, PRIMARY KEY (id)) WITHOUT ROWID;
                 INSERT INTO orders VALUES ('a', 10, 1.5, 1, x'00ff'), ('b', 20, NULL, 0, NULL),
                     ('c', 20, 2.5, NULL, NULL), ('O''Brien', 9007199254740993, 1e300, 1, x'');",
            )
            .expect("writes");
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        text.split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn ids(query: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("orders.1.db");
        file(&path);
        let pool = QueryPool::new(QueryOptions::default());
        let query = Query::parse(&table(), &pairs(query), pool.options()).expect("a query");
        let answer = pool.answer(&path, &query).expect("an answer");
        let id = answer.columns.iter().position(|column| column.name == "id").expect("id is selected");
        answer.rows.iter().map(|row| format!("{:?}", row[id]).replace("Text(\"", "").replace("\")", "")).collect()
    }

    #[test]
    fn filters_compare_by_the_type_of_the_column() {
        assert_eq!(ids("total=gte.20"), ["O'Brien", "b", "c"]);
        assert_eq!(ids("total=gt.10&total=lte.20"), ["b", "c"]);
        assert_eq!(ids("total=eq.9007199254740993"), ["O'Brien"]);
        assert_eq!(ids("weight=lt.2"), ["a"]);
        assert_eq!(ids("paid=eq.true"), ["O'Brien", "a"]);
        assert_eq!(ids("paid=is.false"), ["b"]);
        assert_eq!(ids("paid=is.null"), ["c"]);
        assert_eq!(ids("weight=is.not_null&id=neq.a"), ["O'Brien", "c"]);
        assert_eq!(ids("stamp=eq.AP8="), ["a"]);
    }

    #[test]
    fn lists_and_patterns_match_text_with_its_case() {
        assert_eq!(ids("id=in.(a,\"O'Brien\",zz)"), ["O'Brien", "a"]);
        assert_eq!(ids("total=in.()"), [] as [&str; 0]);
        assert_eq!(ids("id=like.O*"), ["O'Brien"]);
        assert_eq!(ids("id=like.%25".replace("%25", "%").as_str()), ["O'Brien", "a", "b", "c"]);
        assert_eq!(ids("id=like.o*"), [] as [&str; 0]);
        assert_eq!(ids("id=like._"), ["a", "b", "c"]);
    }

    #[test]
    fn equal_rows_keep_the_order_of_the_primary_key() {
        assert_eq!(ids("order=total.desc"), ["O'Brien", "b", "c", "a"]);
        assert_eq!(ids("order=total.desc,id.desc&limit=2&offset=1"), ["c", "b"]);
    }

    #[test]
    fn an_answer_has_the_selected_columns_the_checkpoint_and_the_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("orders.1.db");
        file(&path);
        let pool = QueryPool::new(QueryOptions::default());
        let parameters = pairs("select=stamp,total&id=eq.a&count=exact&limit=0");
        let query = Query::parse(&table(), &parameters, pool.options()).expect("a query");
        let answer = pool.answer(&path, &query).expect("an answer");
        assert_eq!((answer.position, answer.count, answer.rows.len()), (Position(7), Some(1), 0));
        let query = Query::parse(&table(), &pairs("select=stamp,total&id=eq.a"), pool.options()).expect("a query");
        let answer = pool.answer(&path, &query).expect("an answer");
        assert_eq!(answer.rows, [vec![Value::Blob(vec![0, 255]), Value::Integer(10)]]);
        assert_eq!(answer.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["stamp", "total"]);
    }

    #[test]
    fn a_new_file_of_the_same_name_is_not_answered_from_the_old_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("orders.1.db");
        file(&path);
        let pool = QueryPool::new(QueryOptions::default());
        let query = Query::parse(&table(), &pairs("limit=1"), pool.options()).expect("a query");
        assert_eq!(pool.answer(&path, &query).expect("an answer").rows.len(), 1);
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(folder.path().join(format!("orders.1.db{end}")));
        }
        assert!(matches!(pool.answer(&path, &query), Err(QueryError::Missing { .. })));
        file(&path);
        Connection::open(&path).expect("opens").execute("UPDATE lantern_checkpoint SET position = 9", []).expect("set");
        assert_eq!(pool.answer(&path, &query).expect("an answer").position, Position(9));
        assert_eq!(pool.idle.lock().expect("unpoisoned").len(), 1);
    }

    #[test]
    fn a_query_over_its_limits_is_stopped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("orders.1.db");
        file(&path);
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                    INSERT INTO orders SELECT 'n' || i, i, NULL, NULL, NULL FROM n";
        Connection::open(&path).expect("opens").execute(fill, []).expect("fills");
        let ask = |options: QueryOptions| {
            let query = Query::parse(&table(), &pairs("order=total&limit=5000"), &options).expect("a query");
            QueryPool::new(options).answer(&path, &query).expect_err("was answered")
        };
        let no_time = QueryOptions { timeout: Duration::ZERO, ..QueryOptions::default() };
        assert!(matches!(ask(no_time), QueryError::TimedOut { .. }));
        let no_room = QueryOptions { max_answer_bytes: 1000, ..QueryOptions::default() };
        assert!(matches!(ask(no_room), QueryError::TooLarge { limit: 1000 }));
    }
}
