//! A table does what a plain map does, whatever its capacity and whenever it is flushed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{CommittedRows, Row, Table, Tables, Value};
use crate::table;
use crate::testing::MemoryRows;

table! {
    struct Item in "items" {
        key shelf: i64,
        key name: String,
        colour: String,
        weight: Option<i64>,
        index items_by_colour(colour, weight),
    }
}

/// The read model in memory, counting how often it is asked.
struct Committed {
    rows: MemoryRows,
    reads: Cell<usize>,
}

impl CommittedRows for Committed {
    fn get(&self, table: &str, key: Vec<Value>) -> Option<Vec<Value>> {
        self.reads.set(self.reads.get() + 1);
        self.rows.get(table, key)
    }

    fn get_many(&self, table: &str, keys: Vec<Vec<Value>>) -> Vec<Option<Vec<Value>>> {
        self.reads.set(self.reads.get() + 1);
        self.rows.get_many(table, keys)
    }

    fn find(&self, table: &str, index: &str, values: &[Value], limit: u32) -> Vec<Vec<Value>> {
        self.rows.find(table, index, values, limit)
    }

    fn is_empty(&self, table: &str) -> bool {
        self.rows.is_empty(table)
    }
}

struct Fixture {
    committed: Rc<Committed>,
    items: Table<Item>,
}

impl Fixture {
    /// With room for so many rows with names of three letters.
    fn new(rows_with_room: usize) -> Self {
        let rows = MemoryRows::new(<Table<Item> as Tables>::declarations());
        Self::over(Rc::new(Committed { rows, reads: Cell::new(0) }), rows_with_room)
    }

    /// Another instance after the one before has ended.
    fn over(committed: Rc<Committed>, rows_with_room: usize) -> Self {
        let row = item(0, "000", "", None);
        let capacity = rows_with_room * super::cache::bytes_of(&row, super::cache::encoded_len(&row));
        let items = Table::new(0, committed.clone() as Rc<dyn CommittedRows>, capacity);
        Self { committed, items }
    }

    fn flush(&mut self) -> usize {
        self.items.settle().expect("sound rows");
        let (_, bytes) = self.items.pending();
        let mut changes = Vec::new();
        self.items.flush(&mut changes);
        assert!(changes.len() as u64 <= bytes, "{} bytes were flushed, {bytes} announced", changes.len());
        assert_eq!(self.items.pending(), (0, 0));
        self.committed.rows.apply_changes(&changes).expect("a sound flush");
        changes.len()
    }
}

/// A small generator of pseudo-random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn item(shelf: i64, name: &str, colour: &str, weight: Option<i64>) -> Item {
    Item { shelf, name: name.into(), colour: colour.into(), weight }
}

type Model = BTreeMap<(i64, String), Item>;

fn one_step(fixture: &mut Fixture, model: &mut Model, random: &mut Random) {
    let (shelf, name) = (random.below(4) as i64, format!("n{}", random.below(6)));
    let colour = ["red", "green", ""][random.below(3) as usize];
    let weight = [None, Some(1), Some(-1)][random.below(3) as usize];
    let key = (shelf, name.as_str());
    let model_key = (shelf, name.clone());
    match random.below(8) {
        0 => assert_eq!(fixture.items.get(key), model.get(&model_key)),
        1 => {
            fixture.items.put(item(shelf, &name, colour, weight));
            model.insert(model_key, item(shelf, &name, colour, weight));
        }
        2 => {
            fixture.items.delete(key);
            model.remove(&model_key);
        }
        3 => {
            let row = fixture.items.get_or_default(key);
            let expected = model.entry(model_key).or_insert_with(|| Item::with_key(key));
            assert_eq!(row, expected);
            row.colour = colour.into();
            expected.colour = colour.into();
        }
        4 => match (fixture.items.get_mut(key), model.get_mut(&model_key)) {
            (Some(row), Some(expected)) => {
                row.weight = weight;
                expected.weight = weight;
            }
            (row, expected) => assert_eq!(row, expected),
        },
        5 => fixture.items.prefetch([(0, "n0"), key, (3, "n5"), key]),
        6 => {
            let limit = random.below(5) as usize;
            let values: Vec<Value> = [colour.into(), weight.into()].into_iter().take(1 + limit % 2).collect();
            let found = fixture.items.find("items_by_colour", &values, limit as u32);
            let is_wanted = |row: &&Item| row.colour == colour && (values.len() == 1 || row.weight == weight);
            let expected: Vec<Item> = model.values().filter(is_wanted).take(limit).cloned().collect();
            assert_eq!(found, expected);
        }
        _ => {
            if random.below(3) == 0 {
                fixture.flush();
            }
        }
    }
}

#[test]
fn a_table_is_a_map_at_every_capacity() {
    for capacity in [1, 2, 3, 7, 1000] {
        for seed in 0..40 {
            let (mut fixture, mut model) = (Fixture::new(capacity), Model::new());
            let mut random = Random(seed);
            for step in 0..400 {
                one_step(&mut fixture, &mut model, &mut random);
                if step % 150 == 149 {
                    fixture.flush();
                    fixture = Fixture::over(fixture.committed, capacity);
                }
            }
            fixture.flush();
            let rows: Vec<Item> =
                fixture.committed.rows.all("items").into_iter().filter_map(Item::from_values).collect();
            assert_eq!(rows, model.into_values().collect::<Vec<_>>(), "capacity {capacity}, seed {seed}");
        }
    }
}

#[test]
fn unchanged_rows_stay_within_the_capacity_and_the_used_ones_stay_longest() {
    let mut fixture = Fixture::new(10);
    for name in 0..100 {
        fixture.items.put(item(0, &format!("{name:03}"), "", None));
    }
    fixture.flush();
    assert!(fixture.items.get((0, "099")).is_some());
    let before = fixture.committed.reads.get();
    for name in 50..90 {
        fixture.items.get((0, &format!("{name:03}")));
        fixture.items.get((0, "099"));
    }
    assert!(fixture.committed.reads.get() <= before + 40, "a row in constant use was dropped");
    let before = fixture.committed.reads.get();
    for name in 0..100 {
        fixture.items.get((0, &format!("{name:03}")));
    }
    let reads = fixture.committed.reads.get() - before;
    assert!(reads >= 90, "only {reads} of 100 rows were read again: the capacity of 10 does not hold");
}

#[test]
fn while_a_table_is_filled_only_rows_that_were_dropped_are_asked_for() {
    let mut fixture = Fixture::new(10);
    for name in 0..100 {
        fixture.items.get_or_default((0, &format!("{name:03}"))).colour = "red".into();
        fixture.items.prefetch([(1, "new")]);
        fixture.flush();
    }
    assert_eq!(fixture.committed.reads.get(), 0);
    for name in 0..100 {
        assert_eq!(fixture.items.get((0, &format!("{name:03}"))).expect("was made").colour, "red");
    }
    assert!((90..=100).contains(&fixture.committed.reads.get()));
    let mut again = Fixture::over(fixture.committed, 10);
    let before = again.committed.reads.get();
    assert!(again.items.get((0, "000")).is_some() && again.items.get((1, "001")).is_none());
    assert_eq!(again.committed.reads.get(), before + 2, "what another instance wrote is not known");
}

#[test]
fn rows_in_the_cache_are_not_read_again() {
    let mut fixture = Fixture::new(100);
    fixture.items.put(item(1, "a", "", None));
    fixture.flush();
    for _ in 0..5 {
        fixture.items.get_mut((1, "a")).expect("was put").weight = Some(5);
        fixture.flush();
    }
    assert_eq!(fixture.committed.reads.get(), 0);
    fixture.items.prefetch((0..50).map(|shelf| (shelf, "a")));
    assert!(fixture.items.get((1, "a")).is_some() && fixture.items.get((2, "a")).is_none());
    assert_eq!(fixture.committed.reads.get(), 1);
}

#[test]
fn a_flush_holds_each_changed_row_once_in_the_order_of_the_keys() {
    let mut fixture = Fixture::new(100);
    for name in ["b", "a", "b"] {
        fixture.items.get_or_default((2, name)).colour += "x";
    }
    fixture.items.delete((-1, "z"));
    fixture.items.settle().expect("sound");
    let mut changes = Vec::new();
    fixture.items.flush(&mut changes);
    let integer = |number: i64| [&[1][..], &number.to_le_bytes()].concat();
    let text = |text: &str| [&[3][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let delete = [&[2, 0, 0][..], &integer(-1), &text("z")].concat();
    let put = |name, colour| [&[1, 0, 0][..], &integer(2), &text(name), &text(colour), &[0]].concat();
    assert_eq!(changes, [delete, put("a", "x"), put("b", "xx")].concat());
    assert_eq!(fixture.flush(), 0);
}

#[test]
fn keys_that_begin_alike_are_flushed_in_their_order_too() {
    let mut fixture = Fixture::new(100);
    let long = "the same for all of sixteen bytes and more";
    let keys = [(-7, "z".to_owned()), (-7, format!("{long}b")), (-7, format!("{long}a")), (3, String::new())];
    for (shelf, name) in keys.iter().rev() {
        fixture.items.put(item(*shelf, name, "", None));
    }
    fixture.items.settle().expect("sound");
    let mut changes = Vec::new();
    fixture.items.flush(&mut changes);
    let place = |name: &str| changes.windows(name.len()).position(|part| part == name.as_bytes()).expect("is there");
    assert!(place(&format!("{long}a")) < place(&format!("{long}b")));
    assert!(place(&format!("{long}b")) < place("z"));
    assert!(changes.ends_with(&[3, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0]), "3 comes behind -7: {changes:?}");
}

#[test]
fn a_changed_key_is_an_error() {
    let mut fixture = Fixture::new(100);
    fixture.items.get_or_default((2, "a")).shelf = 3;
    let error = fixture.items.settle().expect_err("the key changed");
    assert!(error.to_string().starts_with("table items: the key of a row was changed to (3, \"a\")"), "{error}");
}

#[test]
fn a_find_looks_behind_committed_rows_that_changed() {
    let mut fixture = Fixture::new(100);
    for name in 0..50 {
        fixture.items.put(item(0, &format!("{name:02}"), "red", None));
    }
    fixture.flush();
    for name in 0..40 {
        fixture.items.delete((0, &format!("{name:02}")));
    }
    fixture.items.put(item(9, "last", "red", None));
    let found = fixture.items.find("items_by_colour", &["red".into()], 11);
    let names: Vec<_> = found.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["40", "41", "42", "43", "44", "45", "46", "47", "48", "49", "last"]);
}

#[test]
#[should_panic(expected = "table items has no index \"by_size\"; it has [\"items_by_colour\"]")]
fn an_unknown_index_panics_with_the_known_ones() {
    Fixture::new(1).items.find("by_size", &[], 1);
}

#[test]
#[should_panic(expected = "not of the type of column colour")]
fn a_value_of_another_type_panics() {
    Fixture::new(1).items.find("items_by_colour", &[Value::Integer(1)], 1);
}
