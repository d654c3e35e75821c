//! All that a projection in Zig uses. The plugin's own file declares
//!
//!     pub const projection: lantern.Projection = .{ ... };
//!     pub fn apply(event: lantern.Event) !void { ... }
//!     pub fn prefetch(event: lantern.Event) !void { ... }   // if rows should be read by one call for a batch
//!
//! Memory from `allocator`, texts of events and rows live until the end of the batch. `std.log` writes to Lantern's log.
const std = @import("std");
/// For the SDK itself.
pub const abi = @import("abi.zig");
const decoding = @import("decode.zig");

pub const Table = @import("table.zig").Table;

/// What a projection is.
pub const Projection = struct {
    /// `[a-z][a-z0-9-]{0,62}`
    name: []const u8,
    /// Raise it to have history replayed into a new read model.
    read_model_version: u32,
    /// Which events it reads; empty means all.
    categories: []const []const u8 = &.{},
    event_types: []const []const u8 = &.{},
    /// Types made by `Table`.
    tables: []const type,
};

/// Bytes in a row, where `[]const u8` is text.
pub const Blob = struct { bytes: []const u8 };

/// Memory that is freed when the batch ends.
pub const allocator = abi.batch;

/// One event of the log.
pub const Event = struct {
    /// UUID in its hyphenated lower-case form.
    id: []const u8,
    /// The stream's name, such as `order-42`.
    stream: []const u8,
    /// The part of the stream's name before its first `-`, and the part behind it.
    category: []const u8,
    aggregate_id: []const u8,
    /// What happened, such as `OrderPlaced`.
    type: []const u8,
    content_type: []const u8,
    /// JSON text, or base64 when the content type is not JSON.
    data: []const u8,
    /// A JSON object; `{}` when the writer said nothing.
    metadata: []const u8,
    /// Place of the event in its stream and in the whole log; the first is 1.
    version: u64,
    position: u64,
    /// When it happened, in microseconds since 1970-01-01T00:00:00Z.
    time: i64,
    /// Which shape the data has; the first shape of an event type is 1.
    schema_version: u32,

    /// The data as a struct, or as a tagged union with one struct for each event type (`void` where the data does not
    /// matter). Fields are integers, floats, `bool`, `[]const u8`, structs, slices and optionals of these, or
    /// `std.json.Value`. A field that is missing takes its default value or null. Integers are exact.
    pub fn decode(event: Event, comptime Data: type) error{Refused}!Data {
        return decoding.decode(Data, event);
    }
};

/// The event types of a tagged union, for `Projection.event_types`.
pub fn eventTypes(comptime Data: type) []const []const u8 {
    comptime var types: []const []const u8 = &.{};
    inline for (@typeInfo(Data).@"union".field_names) |name| types = types ++ .{@as([]const u8, name)};
    return types;
}

/// Refuses the event: `return lantern.fail("no order {s}", .{id});`. Lantern parks it, and the later events of its
/// stream, with this text. Any other error does the same with the error's name.
pub fn fail(comptime format: []const u8, arguments: anytype) error{Refused} {
    reason = allocator.print(format, arguments) catch |e| abi.noMemory(e);
    return error.Refused;
}

/// What `fail` said last.
pub var reason: []const u8 = "";
