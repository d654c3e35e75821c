//! Plugins for tests, in the text form of WebAssembly: core modules against the canonical ABI, without a toolchain.

/// The category that hostile plugins ask for, so that they fail on few events and soon.
pub const CATEGORY: &str = "crime";

/// Where static data starts. Below it are the places that calls use: 480 what `flush` returns, 512 what `apply`
/// returns, 544 what a host function returns, 576 a key of one value, 608 a row of two values, 648 an id of 8 letters.
const DATA: u32 = 4096;

/// Counts the events of each stream in the column `n`.
const COUNTING: &str = r#"
    (loop $next
      (i32.store8 (i32.const 576) (i32.const 3))
      (i64.store (i32.const 584) (i64.load offset=8 (local.get $events)))
      (call $get (global.get $rows) (i32.const 4) (i32.const 576) (i32.const 1) (i32.const 544))
      (local.set $n (i64.const 0))
      (if (i32.load8_u (i32.const 544)) (then (local.set $n (i64.load offset=24 (i32.load (i32.const 548))))))
      (i32.store8 (i32.const 608) (i32.const 3))
      (i64.store (i32.const 616) (i64.load offset=8 (local.get $events)))
      (call $integer (i32.const 624) (i64.add (local.get $n) (i64.const 1)))
      (call $put_row)
      (local.set $events (i32.add (local.get $events) (i32.const 80)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br_if $next (local.get $count)))"#;

/// A guest in the making. Unless it says otherwise its projection has one table `rows` with the columns `id` (text,
/// the key) and `n` (integer, in the index `by_n`).
pub struct Guest {
    name: String,
    category: &'static str,
    tables: Vec<Table>,
    describe: String,
    answer: Option<String>,
    memory: Option<String>,
    realloc: String,
    imports: String,
    functions: String,
}

/// A table as a description declares it.
#[derive(Clone)]
pub struct Table {
    pub name: String,
    pub columns: Vec<(String, ColumnType)>,
    pub key: Vec<String>,
    pub index: Vec<String>,
}

#[derive(Clone, Copy)]
pub enum ColumnType {
    Integer = 0,
    Real = 1,
    Text = 2,
}

impl Table {
    pub fn rows() -> Self {
        let columns = vec![("id".to_owned(), ColumnType::Text), ("n".to_owned(), ColumnType::Integer)];
        Self { name: "rows".into(), columns, key: vec!["id".into()], index: vec!["n".into()] }
    }

    pub fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::rows() }
    }

    /// With the column `n` of another name or type.
    pub fn with_column(name: &str, column_type: ColumnType) -> Self {
        let mut table = Self { index: vec![name.into()], ..Self::rows() };
        table.columns[1] = (name.into(), column_type);
        table
    }
}

/// The imports of the world `projection`.
const IMPORTS: &str = r#"
    (import "lantern:plugin/read-model@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))
    (import "lantern:plugin/read-model@0.1.0" "get-many" (func $get_many (param i32 i32 i32 i32 i32)))
    (import "lantern:plugin/read-model@0.1.0" "find" (func $find (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "lantern:plugin/read-model-writes@0.1.0" "put" (func $put (param i32 i32 i32 i32)))
    (import "lantern:plugin/read-model-writes@0.1.0" "put-many" (func $put_many (param i32 i32 i32 i32)))
    (import "lantern:plugin/read-model-writes@0.1.0" "delete" (func $delete (param i32 i32 i32 i32)))
    (import "lantern:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;

/// Small functions for the bodies of typed guests.
const TYPED: &str = r#"
    ;; Makes the key at 576 and the row at 608 those of this number.
    (func $row (param $n i32)
      (local $digit i32)
      (loop $next
        (i32.store8 (i32.add (i32.const 648) (local.get $digit))
          (i32.add (i32.const 97) (i32.and (i32.shr_u (local.get $n) (i32.shl (local.get $digit)
            (i32.const 2))) (i32.const 15))))
        (local.set $digit (i32.add (local.get $digit) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $digit) (i32.const 8))))
      (call $text (i32.const 576) (i32.const 648) (i32.const 8))
      (call $text (i32.const 608) (i32.const 648) (i32.const 8))
      (call $integer (i32.const 624) (i64.extend_i32_u (local.get $n))))
    (func $text (param $at i32) (param $text i32) (param $length i32)
      (i32.store8 (local.get $at) (i32.const 3))
      (i32.store offset=8 (local.get $at) (local.get $text))
      (i32.store offset=12 (local.get $at) (local.get $length)))
    (func $integer (param $at i32) (param $n i64)
      (i32.store8 (local.get $at) (i32.const 1))
      (i64.store offset=8 (local.get $at) (local.get $n)))
    (func $put_row (call $put (global.get $rows) (i32.const 4) (i32.const 608) (i32.const 2)))
    ;; Makes the memory so large.
    (func $pages (param $pages i32)
      (if (i32.eq (memory.grow (i32.sub (local.get $pages) (memory.size))) (i32.const -1)) (then unreachable)))"#;

impl Guest {
    /// A guest of the world `projection` with this body of `apply`. `$events` points at `$count` events, `$i` and `$n`
    /// are free, and 512 is a result that says all is well.
    pub fn typed(name: &str, apply: &str) -> Self {
        let functions = format!(
            r#"{TYPED}
            (func $apply (export "apply") (param $events i32) (param $count i32) (result i32)
              (local $i i32) (local $n i64)
              {apply}
              (i32.const 512))
            (func (export "cabi_post_apply") (param i32) (global.set $heap (global.get $base)))"#
        );
        Self { imports: IMPORTS.into(), functions, ..Self::empty(name) }
    }

    /// A guest of the world `columnar-projection` that has so many rows and bytes to flush, and this body of `flush`.
    /// It returns what 480 points at.
    pub fn columnar(name: &str, flush: &str) -> Self {
        let functions = format!(
            r#"(func (export "apply") (param $batch i32) (result i32)
              (i32.store (i32.const 520) (i32.const 1))
              (i64.store (i32.const 528) (i64.const 20))
              (i32.const 512))
            (func (export "cabi_post_apply") (param i32) (global.set $heap (global.get $base)))
            (func $flush (export "flush") (result i32) {flush} (i32.const 480))"#
        );
        Self { functions, ..Self::empty(name) }
    }

    /// A columnar guest that hands over these bytes.
    pub fn flushing(name: &str, buffer: &[u8]) -> Self {
        let flush = format!(
            "(i32.store (i32.const 480) (i32.const 1024)) (i32.store (i32.const 484) (i32.const {}))",
            buffer.len()
        );
        Self::columnar(name, &flush).with(&data(1024, buffer))
    }

    /// A guest of the world `projection` that does this before it describes itself.
    pub fn describing(name: &str, describe: &str) -> Self {
        Self { describe: describe.into(), ..Self::typed(name, "") }
    }

    /// A plugin that does no harm: it counts the events of each stream of this category.
    pub fn counting(name: &str, category: &'static str) -> Self {
        Self { category, ..Self::typed(name, COUNTING) }
    }

    /// A guest whose description says this.
    pub fn declaring(name: &str, tables: Vec<Table>) -> Self {
        Self { tables, ..Self::typed(name, "") }
    }

    fn empty(name: &str) -> Self {
        Self {
            name: name.into(),
            category: CATEGORY,
            tables: vec![Table::rows()],
            describe: String::new(),
            answer: None,
            memory: None,
            realloc: REALLOC.into(),
            imports: String::new(),
            functions: String::new(),
        }
    }

    /// With more functions and data.
    pub fn with(mut self, functions: &str) -> Self {
        self.functions.push_str(functions);
        self
    }

    pub fn importing(mut self, imports: &str) -> Self {
        self.imports.push_str(imports);
        self
    }

    pub fn with_table(self, table: Table) -> Self {
        Self { tables: vec![table], ..self }
    }

    pub fn with_memory(self, memory: &str) -> Self {
        Self { memory: Some(memory.into()), ..self }
    }

    /// With another body of `cabi_realloc`, which the host calls to hand something over.
    pub fn with_realloc(self, realloc: &str) -> Self {
        Self { realloc: realloc.into(), ..self }
    }

    /// `describe` returns what these instructions leave.
    pub fn answering(self, answer: &str) -> Self {
        Self { answer: Some(answer.into()), ..self }
    }

    /// The module, without component metadata.
    #[track_caller]
    pub fn build(&self) -> Vec<u8> {
        let mut statics = Statics::default();
        let description = statics.description(self);
        let [rows, _] = statics.text("rows");
        let [by_n, _] = statics.text("by_n");
        let heap = (DATA as usize + statics.0.len()).next_multiple_of(1 << 16);
        let pages = format!("(memory (export \"memory\") {})", (heap >> 16) + 1);
        let memory = self.memory.as_ref().unwrap_or(&pages);
        let Self { describe, realloc, imports, functions, .. } = self;
        let answer = self.answer.clone().unwrap_or_else(|| format!("(i32.const {description})"));
        let text = format!(
            r#"(module {imports}
              {memory}
              (global $heap (mut i32) (i32.const {heap}))
              (global $base i32 (i32.const {heap}))
              (global $rows i32 (i32.const {rows}))
              (global $by_n i32 (i32.const {by_n}))
              {statics}
              (func $realloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
                (local $at i32) {realloc} (local.get $at))
              (func (export "describe") (result i32) {describe} {answer})
              {functions})"#,
            statics = data(DATA, &statics.0),
        );
        assembled(&text)
    }
}

const REALLOC: &str = "
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
      (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))))";

#[track_caller]
pub fn assembled(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn data(at: u32, bytes: &[u8]) -> String {
    let bytes: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{bytes}\")")
}

/// Static data of a module.
#[derive(Default)]
struct Statics(Vec<u8>);

impl Statics {
    fn words(&mut self, words: &[u32]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let at = DATA + self.0.len() as u32;
        self.0.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        at
    }

    fn text(&mut self, text: &str) -> [u32; 2] {
        let at = DATA + self.0.len() as u32;
        self.0.extend(text.bytes());
        [at, text.len() as u32]
    }

    fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) -> [u32; 2] {
        let texts: Vec<_> = texts.into_iter().map(|text| self.text(text)).collect();
        [self.words(texts.as_flattened()), texts.len() as u32]
    }

    /// A `projection-description`, and where it lies.
    fn description(&mut self, guest: &Guest) -> u32 {
        let tables: Vec<_> = guest.tables.iter().flat_map(|table| self.table(table)).collect();
        let (count, tables) = (tables.len() as u32 / 8, self.words(&tables));
        let category = self.text(guest.category);
        let interest = self.words(&[1, category[0], category[1], 0, 0]);
        let name = self.text(&guest.name);
        self.words(&[name[0], name[1], 1, interest, 1, tables, count])
    }

    fn table(&mut self, table: &Table) -> [u32; 8] {
        let columns: Vec<_> = table.columns.iter().map(|(name, of)| (self.text(name), *of as u32)).collect();
        let columns: Vec<_> = columns.into_iter().map(|(name, of)| [name[0], name[1], of]).collect();
        let (count, columns) = (columns.len() as u32, self.words(columns.as_flattened()));
        let key = self.texts(&table.key);
        let indexed = self.texts(&table.index);
        let by_n = self.text("by_n");
        let indexes = self.words(&[by_n[0], by_n[1], indexed[0], indexed[1]]);
        let name = self.text(&table.name);
        [name[0], name[1], columns, count, key[0], key[1], indexes, u32::from(indexed[1] > 0)]
    }
}
