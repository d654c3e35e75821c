//! Counts the events of every stream.
const lantern = @import("lantern");

pub const projection: lantern.Projection = .{
    .name = "{{name}}",
    .read_model_version = 1,
    .tables = &.{{{name_}}},
};

const {{name_}} = lantern.Table(Stream, .{ .name = "{{name_}}", .key = .{.stream} });

const Stream = struct {
    stream: []const u8,
    events: i64,
    last_type: []const u8,
};

pub fn apply(event: lantern.Event) !void {
    const row = {{name_}}.getOrDefault(event.stream);
    row.events += 1;
    row.last_type = event.type;
}
