//! The rows of a batch: read once, changed in memory, written when the batch ends or an index is searched.
const std = @import("std");
const abi = @import("abi.zig");
const Blob = @import("lantern.zig").Blob;
const batch = abi.batch;
const noMemory = abi.noMemory;

/// A table of the read model, whose columns are the fields of `Row`:
///
///     const Order = struct { order_id: []const u8, customer: []const u8, total: i64 = 0 };
///     const orders = lantern.Table(Order, .{
///         .name = "orders",
///         .key = .{.order_id},
///         .indexes = .{ .orders_by_customer = .{.customer} },
///     });
///
/// Columns are integers, `f64`, `bool`, `[]const u8`, enums (as text), `lantern.Blob`, or optionals of these. A key of one
/// column is given as its value, a longer one as a tuple. Pointers to rows hold until the end of the batch; change a row
/// through its pointer: Lantern writes the rows that have changed.
pub fn Table(comptime Row: type, comptime declared: anytype) type {
    const info = @typeInfo(Row).@"struct";
    const key_names = names(declared.key);
    const Index = if (@hasField(@TypeOf(declared), "indexes")) std.meta.FieldEnum(@TypeOf(declared.indexes)) else enum {};

    return struct {
        const Entry = struct {
            name: []const u8,
            key: []const abi.Value,
            row: Row = undefined,
            /// As the host has it.
            stored: ?Row = null,
            present: bool = false,
            wanted: bool = false,
        };
        var entries: std.StringHashMapUnmanaged(*Entry) = .empty;
        var wanted: std.ArrayList(*Entry) = .empty;

        /// The row with this key.
        pub fn get(key: anytype) ?*Row {
            const entry = read(key);
            return if (entry.present) &entry.row else null;
        }

        /// The row with this key; one that is not there is put with the defaults of its fields: zero, "", false or null
        /// where `Row` says nothing else.
        pub fn getOrDefault(key: anytype) *Row {
            const entry = read(key);
            return if (entry.present) &entry.row else set(entry, defaultRow(key));
        }

        /// Inserts the row, or replaces the one with the same key.
        pub fn put(row: Row) *Row {
            return set(entryOf(cells(row, key_names)), row);
        }

        /// Deletes the row with this key, if there is one.
        pub fn delete(key: anytype) void {
            const entry = entryOf(keyCells(key));
            entry.present = false;
            entry.wanted = false;
            entry.stored = null;
            abi.delete(declared.name, entry.key);
        }

        /// Has the row read together with others, by one call instead of one each.
        pub fn prefetch(key: anytype) void {
            _ = want(keyCells(key));
        }

        /// The rows whose indexed columns equal the values, a tuple (shorter than the index: a prefix), ordered by key; at
        /// most 10,000. `orders.find(.orders_by_customer, .{customer})`
        pub fn find(comptime index: Index, values: anytype) []const *Row {
            write() catch |e| std.debug.panic("{s}: {t}", .{ declared.name, e });
            const columns = comptime names(@field(declared.indexes, @tagName(index)));
            const found = abi.find(declared.name, @tagName(index), tupleCells(values, columns));
            const rows = batch.alloc(*Row, found.len) catch |e| noMemory(e);
            for (rows, found) |*row, stored| {
                var key: [key_names.len]abi.Value = undefined;
                inline for (&key, key_names) |*cell, name| cell.* = stored.slice()[comptime place(name)];
                const entry = entryOf(&key);
                if (!entry.present) load(entry, stored.slice());
                entry.wanted = false;
                row.* = &entry.row;
            }
            return rows;
        }

        // What the SDK calls

        pub const description: abi.Table = .{
            .name = .of(declared.name),
            .columns = .of(&described_columns),
            .primary_key = texts(key_names),
            .indexes = .of(&described_indexes),
        };
        const described_columns: [info.field_names.len]abi.Column = blk: {
            var columns: [info.field_names.len]abi.Column = undefined;
            for (&columns, info.field_names, info.field_types) |*column, name, Field| column.* = .{
                .name = .of(name),
                .tag = @backingInt(tagOf(Field)) - @backingInt(abi.Tag.integer),
                .nullable = @typeInfo(Field) == .optional,
            };
            break :blk columns;
        };
        const described_indexes: [std.meta.fieldNames(Index).len]abi.Index = blk: {
            var indexes: [std.meta.fieldNames(Index).len]abi.Index = undefined;
            for (&indexes, std.meta.fieldNames(Index)) |*index, name|
                index.* = .{ .name = .of(name), .columns = texts(names(@field(declared.indexes, name))) };
            break :blk indexes;
        };

        /// Hands every row that has changed to the host.
        pub fn write() error{KeyOfRowChanged}!void {
            var changed: std.ArrayList(abi.Cells) = .empty;
            var all = entries.valueIterator();
            while (all.next()) |pointer| {
                const entry = pointer.*;
                if (!entry.present) continue;
                if (entry.stored) |stored| if (std.meta.eql(entry.row, stored)) continue;
                if (!std.mem.eql(u8, entry.name, nameOf(cells(entry.row, key_names)))) return error.KeyOfRowChanged;
                changed.append(batch, .of(cells(entry.row, info.field_names))) catch |e| noMemory(e);
                entry.stored = entry.row;
            }
            if (changed.items.len > 0) abi.putMany(declared.name, changed.items);
        }

        /// Forgets the rows; their memory goes with that of the batch.
        pub fn forget() void {
            entries = .empty;
            wanted = .empty;
        }

        // Entries

        /// The entry of a key; a new one is absent.
        fn entryOf(key: []const abi.Value) *Entry {
            const name = nameOf(key);
            const slot = entries.getOrPut(batch, name) catch |e| noMemory(e);
            if (!slot.found_existing) {
                slot.value_ptr.* = batch.create(Entry) catch |e| noMemory(e);
                slot.value_ptr.*.* = .{ .name = name, .key = batch.dupe(abi.Value, key) catch |e| noMemory(e) };
            }
            return slot.value_ptr.*;
        }

        fn want(key: []const abi.Value) *Entry {
            const known = entries.count();
            const entry = entryOf(key);
            if (entries.count() > known) {
                entry.wanted = true;
                wanted.append(batch, entry) catch |e| noMemory(e);
            }
            return entry;
        }

        fn read(key: anytype) *Entry {
            const entry = want(keyCells(key));
            if (entry.wanted) readWanted();
            return entry;
        }

        fn readWanted() void {
            var rest: []const *Entry = wanted.items;
            while (rest.len > 0) {
                const some = rest[0..@min(rest.len, abi.most_rows)];
                rest = rest[some.len..];
                const keys = batch.alloc(abi.Cells, some.len) catch |e| noMemory(e);
                for (keys, some) |*key, entry| key.* = .of(entry.key);
                for (abi.getMany(declared.name, keys), some) |found, entry| {
                    // A row that was put, deleted or found since it was wanted is newer.
                    if (entry.wanted and found.present) load(entry, found.row.slice());
                    entry.wanted = false;
                }
            }
            wanted.clearRetainingCapacity();
        }

        fn load(entry: *Entry, stored: []const abi.Value) void {
            inline for (info.field_names, info.field_types, 0..) |name, Field, column|
                @field(entry.row, name) = fromCell(Field, stored[column]);
            entry.stored = entry.row;
            entry.present = true;
        }

        fn set(entry: *Entry, row: Row) *Row {
            entry.row = row;
            entry.present = true;
            entry.wanted = false;
            return &entry.row;
        }

        fn defaultRow(key: anytype) Row {
            var row: Row = undefined;
            inline for (info.field_names, info.field_types, info.field_attrs) |name, Field, attributes|
                @field(row, name) = comptime attributes.defaultValue(Field) orelse zero(Field);
            inline for (asTuple(key), key_names) |value, name| @field(row, name) = value;
            return row;
        }

        // Cells

        fn keyCells(key: anytype) []const abi.Value {
            const tuple = asTuple(key);
            if (tuple.len != key_names.len)
                @compileError("the key of " ++ declared.name ++ " has another number of columns");
            return tupleCells(tuple, key_names);
        }

        fn tupleCells(tuple: anytype, comptime columns: []const []const u8) []const abi.Value {
            const made = batch.alloc(abi.Value, tuple.len) catch |e| noMemory(e);
            inline for (made, tuple, columns[0..tuple.len]) |*cell, value, name|
                cell.* = toCell(info.field_types[comptime place(name)], value);
            return made;
        }

        fn cells(row: Row, comptime columns: []const []const u8) []const abi.Value {
            const made = batch.alloc(abi.Value, columns.len) catch |e| noMemory(e);
            inline for (made, columns) |*cell, name| cell.* = toCell(@TypeOf(@field(row, name)), @field(row, name));
            return made;
        }

        fn place(comptime name: []const u8) usize {
            return std.meta.fieldIndex(Row, name) orelse @compileError(declared.name ++ " has no column " ++ name);
        }
    };
}

fn names(comptime literals: anytype) []const []const u8 {
    comptime var list: []const []const u8 = &.{};
    inline for (literals) |literal| list = list ++ .{@as([]const u8, @tagName(literal))};
    return list;
}

fn texts(comptime list: []const []const u8) abi.Names {
    comptime var made: []const abi.Text = &.{};
    inline for (list) |name| made = made ++ .{abi.Text.of(name)};
    return .of(made);
}

fn asTuple(key: anytype) if (isTuple(@TypeOf(key))) @TypeOf(key) else @Tuple(&.{@TypeOf(key)}) {
    return if (comptime isTuple(@TypeOf(key))) key else .{key};
}

fn isTuple(comptime Key: type) bool {
    return @typeInfo(Key) == .@"struct" and @typeInfo(Key).@"struct".is_tuple;
}

/// A key as the bytes that it is looked up by.
fn nameOf(key: []const abi.Value) []const u8 {
    if (key.len == 1 and key[0].tag == .text) return key[0].cell.text.slice();
    var name: std.ArrayList(u8) = .empty;
    for (key) |value| {
        const bytes = switch (value.tag) {
            .text, .blob => value.cell.text.slice(),
            .boolean => std.mem.asBytes(&value.cell.boolean),
            else => std.mem.asBytes(&value.cell.integer),
        };
        name.appendSlice(batch, std.mem.asBytes(&bytes.len)) catch |e| noMemory(e);
        name.appendSlice(batch, bytes) catch |e| noMemory(e);
    }
    return name.items;
}

fn tagOf(comptime Field: type) abi.Tag {
    return switch (@typeInfo(Field)) {
        .optional => |optional| tagOf(optional.child),
        .int => .integer,
        .float => .real,
        .bool => .boolean,
        .@"enum" => .text,
        else => if (Field == Blob) .blob else if (Field == []const u8) .text else @compileError("no column is " ++ @typeName(Field)),
    };
}

fn zero(comptime Field: type) Field {
    return switch (@typeInfo(Field)) {
        .optional => null,
        .int, .float => 0,
        .bool => false,
        .@"enum" => @fromBackingInt(0),
        else => if (Field == Blob) .{ .bytes = "" } else "",
    };
}

fn toCell(comptime Field: type, value: Field) abi.Value {
    if (@typeInfo(Field) == .optional) return if (value) |present| toCell(@TypeOf(present), present) else .{};
    return .{ .tag = tagOf(Field), .cell = switch (@typeInfo(Field)) {
        .int => .{ .integer = @intCast(value) },
        .float => .{ .real = value },
        .bool => .{ .boolean = value },
        .@"enum" => .{ .text = .of(@tagName(value)) },
        else => .{ .text = .of(if (Field == Blob) value.bytes else value) },
    } };
}

fn fromCell(comptime Field: type, value: abi.Value) Field {
    return switch (@typeInfo(Field)) {
        .optional => |optional| if (value.tag == .null) null else fromCell(optional.child, value),
        .int => @intCast(value.cell.integer),
        .float => value.cell.real,
        .bool => value.cell.boolean,
        .@"enum" => std.meta.stringToEnum(Field, value.cell.text.slice()) orelse
            std.debug.panic("{s} is none of {s}", .{ value.cell.text.slice(), @typeName(Field) }),
        else => if (Field == Blob) .{ .bytes = value.cell.text.slice() } else value.cell.text.slice(),
    };
}
