//! The world `projection` of `wit/` in the canonical ABI: the layouts of its records and the functions it imports; and
//! the memory of a batch.
const std = @import("std");

pub fn List(comptime Item: type) type {
    return extern struct {
        items: [*]const Item,
        count: usize,

        pub fn of(items: []const Item) @This() {
            // The pointer of an empty slice may be anywhere; the host wants it inside the memory.
            return .{ .items = if (items.len == 0) @ptrFromInt(@alignOf(Item)) else items.ptr, .count = items.len };
        }
        pub fn slice(list: @This()) []const Item {
            return list.items[0..list.count];
        }
    };
}

pub const Text = List(u8);
pub const Names = List(Text);
pub const Cells = List(Value);

pub const Tag = enum(u8) { null, integer, real, text, blob, boolean };
pub const Value = extern struct {
    tag: Tag = .null,
    cell: extern union { integer: i64, real: f64, text: Text, boolean: bool } = .{ .integer = 0 },
};
pub const MaybeRow = extern struct { present: bool, row: Cells };

pub const Event = extern struct {
    id: Text,
    stream: Text,
    version: u64,
    position: u64,
    event_type: Text,
    schema_version: u32,
    time: i64,
    content_type: Text,
    data: Text,
    metadata: Text,
};

pub const Interest = extern struct { has_category: bool, category: Text, event_types: Names };
pub const Column = extern struct { name: Text, tag: u8, nullable: bool };
pub const Index = extern struct { name: Text, columns: Names };
pub const Table = extern struct { name: Text, columns: List(Column), primary_key: Names, indexes: List(Index) };
pub const Description = extern struct {
    name: Text,
    read_model_version: u32,
    interests: List(Interest),
    tables: List(Table),
};
pub const Result = extern struct { failed: bool, reason: Text };

comptime {
    const assert = std.debug.assert;
    assert(@sizeOf(Value) == 16 and @offsetOf(Value, "cell") == 8 and @sizeOf(MaybeRow) == 12);
    assert(@sizeOf(Event) == 80 and @offsetOf(Event, "event_type") == 32 and @offsetOf(Event, "time") == 48);
    assert(@offsetOf(Event, "metadata") == 72 and @sizeOf(Result) == 12);
    assert(@sizeOf(Interest) == 20 and @offsetOf(Interest, "event_types") == 12);
    assert(@sizeOf(Column) == 12 and @offsetOf(Column, "nullable") == 9 and @sizeOf(Index) == 16);
    assert(@sizeOf(Table) == 32 and @sizeOf(Description) == 28);
}

const read_model = struct {
    extern "lantern:plugin/read-model@0.1.0" fn @"get-many"([*]const u8, usize, [*]const Cells, usize, *List(MaybeRow)) void;
    extern "lantern:plugin/read-model@0.1.0" fn find([*]const u8, usize, [*]const u8, usize, [*]const Value, usize, u32, *List(Cells)) void;
    extern "lantern:plugin/read-model-writes@0.1.0" fn @"put-many"([*]const u8, usize, [*]const Cells, usize) void;
    extern "lantern:plugin/read-model-writes@0.1.0" fn delete([*]const u8, usize, [*]const Value, usize) void;
};
extern "lantern:plugin/log@0.1.0" fn log(level: u32, message: [*]const u8, length: usize) void;

/// The most keys that `getMany` takes, and the most rows that `find` answers.
pub const most_rows = 10_000;

pub fn getMany(table: []const u8, keys: []const Cells) []const MaybeRow {
    var found: List(MaybeRow) = undefined;
    read_model.@"get-many"(table.ptr, table.len, keys.ptr, keys.len, &found);
    return found.slice();
}
pub fn find(table: []const u8, index: []const u8, values: []const Value) []const Cells {
    var found: List(Cells) = undefined;
    read_model.find(table.ptr, table.len, index.ptr, index.len, values.ptr, values.len, most_rows, &found);
    return found.slice();
}
pub fn putMany(table: []const u8, rows: []const Cells) void {
    read_model.@"put-many"(table.ptr, table.len, rows.ptr, rows.len);
}
pub fn delete(table: []const u8, key: []const Value) void {
    read_model.delete(table.ptr, table.len, key.ptr, key.len);
}

pub const Level = enum(u32) { debug, info, warn, err };
pub fn writeLog(level: Level, message: []const u8) void {
    log(@backingInt(level), message.ptr, message.len);
}

/// Freed when a batch ends.
pub var batch_memory: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
pub const batch: std.mem.Allocator = batch_memory.allocator();

pub fn noMemory(_: std.mem.Allocator.Error) noreturn {
    @panic("out of memory");
}
