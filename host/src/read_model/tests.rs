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
    Identity { projection: "orders".into(), read_model_version: 1, log_id: Uuid::from_u128(7) }
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.1.1.db");
    let writer = ReadModelWriter::open(&path, &identity(), schema()).expect("opens");
    let draft = writer.draft().expect("drafts");
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

    fn ids_of(&self, customer: &str, limit: usize) -> Vec<Value> {
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
    f.draft.apply_changes(&buffer).expect("applies");
    assert!(f.draft.get("pairs", &[text("k"), Value::Integer(5)]).expect("reads").is_some());
    for end in 1..buffer.len() {
        assert!(f.draft.apply_changes(&buffer[..end]).is_err(), "cut at {end}");
    }
    for broken in [&[9, 1, 0][..], &[1, 7, 0], &[2, 0, 0, 3, 1, 0, 0, 0, 0xff], &[2, 0, 0, 8]] {
        assert!(f.draft.apply_changes(broken).is_err(), "{broken:?}");
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
    let f = fixture();
    assert_eq!(ReadModelFile::open(&f.path).expect("opens").schema, schema());
    let other = Identity { log_id: Uuid::from_u128(8), ..identity() };
    assert!(matches!(ReadModelWriter::open(&f.path, &other, schema()), Err(ReadModelError::Incompatible { .. })));
    let fewer = Arc::new(Schema::new(schema().tables()[..1].to_vec()).expect("sound"));
    assert!(matches!(ReadModelWriter::open(&f.path, &identity(), fewer), Err(ReadModelError::Incompatible { .. })));
}
