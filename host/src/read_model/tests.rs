//! Drafts, commits and files of read models, together.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::event::{Position, StreamVersion, Timestamp};

struct Fixture {
    _folder: TempDir,
    path: PathBuf,
    writer: ReadModelWriter,
    draft: ReadModelDraft,
}

fn schema() -> Arc<Schema> {
    let column = |name: &str, column_type, nullable| Column { name: name.into(), column_type, nullable };
    let orders = Table {
        name: "orders".into(),
        columns: vec![
            column("id", ColumnType::Text, false),
            column("customer", ColumnType::Text, true),
            column("total", ColumnType::Real, false),
            column("paid", ColumnType::Boolean, false),
            column("raw", ColumnType::Blob, true),
        ],
        primary_key: vec!["id".into()],
        indexes: vec![Index { name: "orders_by_customer".into(), columns: vec!["customer".into(), "paid".into()] }],
    };
    let pairs = Table {
        name: "pairs".into(),
        columns: vec![column("b", ColumnType::Integer, false), column("a", ColumnType::Text, false)],
        primary_key: vec!["a".into(), "b".into()],
        indexes: vec![],
    };
    Arc::new(Schema::new(vec![orders, pairs]).expect("sound"))
}

fn identity() -> Identity {
    Identity { projection: "orders".into(), read_model_version: 1, log_id: Uuid::from_u128(7), ..Identity::default() }
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.1.1.db");
    let writer = ReadModelWriter::open(&path, &identity(), schema()).expect("opens");
    let draft = writer.draft(1 << 20).expect("drafts");
    Fixture { _folder: folder, path, writer, draft }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn order(id: &str, customer: &str, total: f64) -> Row {
    vec![text(id), text(customer), Value::Real(total), Value::Boolean(false), Value::Null]
}

impl Fixture {
    fn commit(&mut self, position: u64) {
        let commit = Commit { checkpoint: Some(Position(position)), ..Commit::default() };
        self.writer.commit(&mut self.draft, &commit).expect("commits");
    }

    fn ids_of(&mut self, customer: &str, limit: usize) -> Vec<Value> {
        let rows = self.draft.find("orders", "orders_by_customer", &[text(customer)], limit).expect("finds");
        rows.into_iter().map(|row| row[0].clone()).collect()
    }
}

#[test]
fn a_draft_reads_its_own_writes_over_the_committed_rows() {
    let mut f = fixture();
    f.draft.put("orders", order("1", "ann", 5.0)).expect("puts");
    f.draft.put("orders", order("2", "ann", 6.0)).expect("puts");
    f.commit(2);
    f.draft.put("orders", order("1", "ann", 7.5)).expect("puts");
    f.draft.delete("orders", vec![text("2")]).expect("deletes");
    let keys = [vec![text("1")], vec![text("2")], vec![text("3")]];
    assert_eq!(f.draft.get_many("orders", &keys).expect("reads"), [Some(order("1", "ann", 7.5)), None, None]);
    f.draft.clear();
    assert_eq!(f.draft.get("orders", &[text("2")]).expect("reads"), Some(order("2", "ann", 6.0)));
}

#[test]
fn a_table_is_empty_until_something_is_written_to_it() {
    let mut fixture = fixture();
    assert!(fixture.draft.is_empty("orders").expect("reads") && fixture.draft.is_empty("pairs").expect("reads"));
    fixture.draft.put("orders", order("1", "ann", 1.0)).expect("fits");
    assert!(!fixture.draft.is_empty("orders").expect("reads"), "the draft has a row");
    fixture.commit(1);
    assert!(!fixture.draft.is_empty("orders").expect("reads"), "the file has a row");
    fixture.draft.delete("orders", vec![text("1")]).expect("fits");
    fixture.commit(2);
    assert!(fixture.draft.is_empty("orders").expect("reads") && fixture.draft.is_empty("pairs").expect("reads"));
    assert!(fixture.draft.is_empty("nothing").is_err());
}

#[test]
fn find_merges_the_draft_with_the_committed_rows_in_key_order() {
    let mut f = fixture();
    for id in ["1", "3", "5", "7"] {
        f.draft.put("orders", order(id, "ann", 1.0)).expect("puts");
    }
    f.commit(1);
    f.draft.put("orders", order("1", "bob", 1.0)).expect("puts");
    f.draft.delete("orders", vec![text("3")]).expect("deletes");
    f.draft.put("orders", order("6", "ann", 1.0)).expect("puts");
    assert_eq!(f.ids_of("ann", 10), [text("5"), text("6"), text("7")]);
    assert_eq!(f.ids_of("ann", 2), [text("5"), text("6")]);
    assert_eq!(f.ids_of("bob", 10), [text("1")]);
    let all = f.draft.find("orders", "orders_by_customer", &[], 10).expect("finds");
    assert_eq!(all.len(), 4);
}

#[test]
fn rows_come_back_as_they_were_put_and_an_integer_is_taken_for_a_real() {
    let mut f = fixture();
    let row = vec![text("a\0b"), Value::Null, Value::Integer(3), Value::Boolean(true), Value::Blob(vec![0, 255])];
    f.draft.put("orders", row).expect("puts");
    f.draft.put("pairs", vec![Value::Integer(i64::MAX), text("x")]).expect("puts");
    f.commit(1);
    let row = vec![text("a\0b"), Value::Null, Value::Real(3.0), Value::Boolean(true), Value::Blob(vec![0, 255])];
    assert_eq!(f.draft.get("orders", &[text("a\0b")]).expect("reads"), Some(row));
    let key = [text("x"), Value::Integer(i64::MAX)];
    assert!(f.draft.get("pairs", &key).expect("reads").is_some(), "the key is in declared order");
}

#[test]
fn what_does_not_fit_the_declaration_is_refused_and_says_what() {
    let mut f = fixture();
    let refusals = [
        (f.draft.put("nope", vec![]), "\"nope\" is not declared"),
        (f.draft.put("pairs", vec![text("x")]), "1 values; the table has 2"),
        (f.draft.put("pairs", vec![text("x"), text("y")]), "holds integer and got text"),
        (f.draft.put("orders", vec![text("1"), text("a"), Value::Null, Value::Null, Value::Null]), "not nullable"),
        (f.draft.put("orders", order("1", "ann", f64::NAN)), "got NaN"),
        (f.draft.delete("pairs", vec![text("x")]), "its primary key has 2"),
        (f.draft.find("orders", "nope", &[], 1).map(drop), "unknown index"),
        (ReadModelDraft::default().put("orders", vec![]), "outside of apply"),
    ];
    for (answer, part) in refusals {
        let error = answer.expect_err(part);
        assert!(matches!(error, ReadModelError::Mismatch(_)) && error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_flush_buffer_is_applied_and_a_broken_one_is_refused_wherever_it_is_cut() {
    let mut f = fixture();
    let mut buffer = vec![1, 1, 0, 1];
    buffer.extend(5i64.to_le_bytes());
    buffer.extend([3, 1, 0, 0, 0, b'k']);
    f.draft.apply_changes(buffer.clone()).expect("applies");
    assert!(f.draft.get("pairs", &[text("k"), Value::Integer(5)]).expect("reads").is_some());
    for end in 1..buffer.len() {
        assert!(f.draft.apply_changes(buffer[..end].to_vec()).is_err(), "cut at {end}");
    }
    for broken in [&[9, 1, 0][..], &[1, 7, 0], &[2, 0, 0, 3, 1, 0, 0, 0, 0xff], &[2, 0, 0, 8]] {
        assert!(f.draft.apply_changes(broken.to_vec()).is_err(), "{broken:?}");
    }
}

#[test]
fn rows_checkpoint_and_dead_letters_commit_together_or_not_at_all() {
    let mut f = fixture();
    let letter = DeadLetter {
        position: Position(4),
        stream: "order-1".into(),
        version: StreamVersion(2),
        event_type: "Paid".into(),
        kind: DeadLetterKind::Failed,
        reason: Some("no".into()),
        attempts: 1,
        component_digest: "d".into(),
        parked_at: Timestamp(9),
    };
    f.draft.put("orders", order("1", "ann", 1.0)).expect("puts");
    let parked = std::slice::from_ref(&letter);
    let commit = Commit { checkpoint: Some(Position(5)), parked, released: &[] };
    let saboteur = rusqlite::Connection::open(&f.path).expect("opens");
    saboteur
        .execute_batch("CREATE TRIGGER no BEFORE UPDATE ON lantern_checkpoint BEGIN SELECT raise(ABORT, 'no'); END")
        .expect("sabotages");
    assert!(f.writer.commit(&mut f.draft, &commit).is_err());
    let file = ReadModelFile::open(&f.path).expect("opens");
    assert_eq!(file.standing().expect("reads"), (Position(0), (0, 0)));
    saboteur.execute_batch("DROP TRIGGER no").expect("mends");
    f.writer.commit(&mut f.draft, &commit).expect("the draft is as it was");
    assert_eq!(file.standing().expect("reads"), (Position(5), (1, 0)));
    assert_eq!(file.dead_letters(Position(0), 9).expect("reads"), [letter]);
    assert!(f.draft.get("orders", &[text("1")]).expect("reads").is_some());
}

#[test]
fn a_file_tells_its_tables_and_is_refused_under_another_identity_or_schema() {
    let mut f = fixture();
    f.writer.build_indexes().expect("builds");
    assert_eq!(ReadModelFile::open(&f.path).expect("opens").schema, schema());
    let other = Identity { log_id: Uuid::from_u128(8), ..identity() };
    assert!(matches!(ReadModelWriter::open(&f.path, &other, schema()), Err(ReadModelError::Incompatible { .. })));
    let fewer = Arc::new(Schema::new(schema().tables()[..1].to_vec()).expect("sound"));
    assert!(matches!(ReadModelWriter::open(&f.path, &identity(), fewer), Err(ReadModelError::Incompatible { .. })));
}

#[test]
fn rows_of_a_commit_under_way_are_seen_before_and_after_it_lands() {
    let Fixture { _folder, writer, mut draft, .. } = fixture();
    let mut commits = WriteBehind::new(writer);
    draft.put("orders", order("1", "ann", 5.0)).expect("puts");
    draft.put("orders", order("2", "ann", 6.0)).expect("puts");
    commits.begin(&mut draft, Position(2)).expect("begins");
    draft.put("orders", order("2", "bob", 7.0)).expect("puts");
    let seen = |draft: &mut ReadModelDraft| {
        let found = draft.find("orders", "orders_by_customer", &[text("ann")], 9).expect("finds");
        (draft.get("orders", &[text("1")]).expect("reads"), draft.get("orders", &[text("2")]).expect("reads"), found)
    };
    let expected = (Some(order("1", "ann", 5.0)), Some(order("2", "bob", 7.0)), vec![order("1", "ann", 5.0)]);
    assert_eq!(seen(&mut draft), expected);
    assert!(commits.writer().is_err(), "nobody else writes meanwhile");
    let landed = commits.outcome(&mut draft, true).expect("a commit was under way");
    assert_eq!(landed.expect("commits"), Position(2));
    assert!(commits.outcome(&mut draft, true).is_none(), "told once");
    assert_eq!(seen(&mut draft), expected);
    assert_eq!(commits.writer().expect("is back").checkpoint().expect("reads").position, Position(2));
}

#[test]
fn indexes_are_made_when_asked_for_and_a_file_without_them_is_the_same_read_model() {
    let mut f = fixture();
    f.draft.put("orders", order("1", "ann", 1.0)).expect("puts");
    f.commit(1);
    let indexes = |path: &std::path::Path| -> i64 {
        let connection = rusqlite::Connection::open(path).expect("opens");
        let count = "SELECT count(*) FROM sqlite_schema WHERE name = 'orders_by_customer'";
        connection.query_row(count, [], |row| row.get(0)).expect("counts")
    };
    assert_eq!(indexes(&f.path), 0);
    f.writer = ReadModelWriter::open(&f.path, &identity(), schema()).expect("is the same read model");
    f.writer.build_indexes().expect("builds");
    f.writer.build_indexes().expect("has nothing left to do");
    assert_eq!(indexes(&f.path), 1);
    assert_eq!(f.ids_of("ann", 9), [text("1")]);
    ReadModelWriter::open(&f.path, &identity(), schema()).expect("is the same read model");
}

#[test]
fn writes_beyond_the_limit_are_refused() {
    let mut f = fixture();
    f.draft = f.writer.draft(1000).expect("drafts");
    let taken = (0..100).take_while(|n| f.draft.put("orders", order(&n.to_string(), "ann", 1.0)).is_ok()).count();
    assert!((5..15).contains(&taken), "{taken} writes of about 100 bytes");
    f.draft.clear();
    f.draft.put("orders", order("1", "ann", 1.0)).expect("there is room again");
}

/// The same random writes, through calls and through flush buffers, give the rows of a plain map.
#[test]
fn the_last_write_to_a_key_wins_however_it_came() {
    let mut random = 7u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for through_buffers in [false, true] {
        let mut f = fixture();
        let mut expected = std::collections::BTreeMap::new();
        for round in 0..20u64 {
            let mut buffer = Vec::new();
            for _ in 0..next(60) {
                let (key, value) = (next(40) as i64 - 20, text(&"x".repeat(next(30) as usize)));
                let row = vec![Value::Integer(key), value.clone()];
                let delete = next(4) == 0;
                if through_buffers {
                    buffer.extend([if delete { 2 } else { 1 }, 1, 0]);
                    // The table has the columns b, a and the key a, b.
                    let cells = if delete { [&row[1], &row[0]] } else { [&row[0], &row[1]] };
                    cells.iter().for_each(|cell| cell.as_cell().write(&mut buffer));
                } else if delete {
                    f.draft.delete("pairs", vec![value.clone(), Value::Integer(key)]).expect("deletes");
                } else {
                    f.draft.put("pairs", row.clone()).expect("puts");
                }
                if delete {
                    expected.remove(&(format!("{value:?}"), key))
                } else {
                    expected.insert((format!("{value:?}"), key), row)
                };
            }
            if through_buffers {
                f.draft.apply_changes(buffer).expect("applies");
            }
            if next(3) == 0 {
                f.commit(round);
            }
            for row in expected.values() {
                assert!(f.draft.get("pairs", &[row[1].clone(), row[0].clone()]).expect("reads").is_some());
            }
        }
        f.commit(99);
        let connection = rusqlite::Connection::open(&f.path).expect("opens");
        let rows: i64 = connection.query_row("SELECT count(*) FROM pairs", [], |row| row.get(0)).expect("counts");
        assert_eq!(rows as usize, expected.len());
        assert!(rows > 50, "the test writes something");
    }
}

#[test]
fn one_changed_row_in_a_hundred_is_named_each_time() {
    let mut f = fixture();
    for n in 0..100 {
        f.draft.put("orders", order(&format!("{n:03}"), "ann", f64::from(n))).expect("puts");
        f.draft.put("pairs", vec![Value::Integer(i64::from(n)), text("a")]).expect("puts");
    }
    f.commit(1);
    let file = ReadModelFile::open(&f.path).expect("opens");
    for n in 0..100 {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = file.copy_to(&folder.path().join("copy.db")).expect("copies");
        assert_eq!(copy.first_difference(&file).expect("compares"), None);
        let change = match n % 4 {
            0 => format!("UPDATE orders SET total = total + 0.5 WHERE id = '{n:03}'"),
            1 => format!("DELETE FROM orders WHERE id = '{n:03}'"),
            2 => format!("UPDATE pairs SET b = 1000 + b WHERE b = {n}"),
            _ => format!("INSERT INTO orders VALUES ('{n:03}a', NULL, 1.0, 0, NULL)"),
        };
        let connection = rusqlite::Connection::open(&copy.path).expect("opens");
        assert_eq!(connection.execute(&change, []), Ok(1), "{change}");
        let difference = copy.first_difference(&file).expect("compares").expect("differs");
        let first = |row: &Option<Row>| row.as_ref().map(|row| row[0].clone());
        let (found, expected) = (first(&difference.found), first(&difference.expected));
        let id = Some(text(&format!("{n:03}")));
        let named = match n % 4 {
            0 => (id.clone(), id),
            1 => (None, id),
            2 => (None, Some(Value::Integer(n))),
            _ => (Some(text(&format!("{n:03}a"))), None),
        };
        assert_eq!((found, expected), named, "{change}");
    }
}
