//! What the host calls: the description of the projection and one batch of events.
const std = @import("std");
const lantern = @import("lantern");
const plugin = @import("plugin");
const abi = lantern.abi;
const projection: lantern.Projection = plugin.projection;

/// What a panic says goes to Lantern's log; then the instance ends.
pub const panic = std.debug.FullPanic(struct {
    fn call(message: []const u8, _: ?usize) noreturn {
        abi.writeLog(.err, message);
        @trap();
    }
}.call);

pub const std_options: std.Options = .{ .logFn = log, .log_level = .debug };

fn log(comptime level: std.log.Level, comptime _: @EnumLiteral(), comptime format: []const u8, arguments: anytype) void {
    abi.writeLog(@field(abi.Level, @tagName(level)), abi.batch.print(format, arguments) catch |e| abi.noMemory(e));
}

export fn cabi_realloc(old: ?[*]u8, old_size: usize, alignment: usize, size: usize) [*]u8 {
    if (size == 0) return @ptrFromInt(alignment);
    const moved = abi.batch.rawAlloc(size, .fromByteUnits(alignment), 0) orelse @trap();
    if (old) |from| @memcpy(moved[0..@min(old_size, size)], from[0..@min(old_size, size)]);
    return moved;
}

const interests = blk: {
    var types: []const abi.Text = &.{};
    for (projection.event_types) |name| types = types ++ .{abi.Text.of(name)};
    var made: []const abi.Interest = &.{};
    for (projection.categories) |category|
        made = made ++ .{abi.Interest{ .has_category = true, .category = .of(category), .event_types = .of(types) }};
    if (made.len == 0)
        made = &.{.{ .has_category = false, .category = .of(""), .event_types = .of(types) }};
    break :blk made;
};

const tables = blk: {
    var made: []const abi.Table = &.{};
    for (projection.tables) |table| made = made ++ .{table.description};
    break :blk made;
};

const description: abi.Description = .{
    .name = .of(projection.name),
    .read_model_version = projection.read_model_version,
    .interests = .of(interests),
    .tables = .of(tables),
};

export fn describe() *const abi.Description {
    return &description;
}

fn eventOf(event: *const abi.Event) lantern.Event {
    const stream = event.stream.slice();
    const dash = std.mem.indexOfScalar(u8, stream, '-') orelse stream.len;
    return .{
        .id = event.id.slice(),
        .stream = stream,
        .category = stream[0..dash],
        .aggregate_id = stream[@min(dash + 1, stream.len)..],
        .type = event.event_type.slice(),
        .content_type = event.content_type.slice(),
        .data = event.data.slice(),
        .metadata = event.metadata.slice(),
        .version = event.version,
        .position = event.position,
        .time = event.time,
        .schema_version = event.schema_version,
    };
}

fn applyBatch(events: []const abi.Event) !void {
    if (@hasDecl(plugin, "prefetch")) for (events) |*event| try plugin.prefetch(eventOf(event));
    for (events) |*event| try plugin.apply(eventOf(event));
    inline for (projection.tables) |table| try table.write();
}

var result: abi.Result = undefined;

export fn apply(events: [*]const abi.Event, count: usize) *const abi.Result {
    result = .{ .failed = false, .reason = .of("") };
    applyBatch(events[0..count]) catch |e| {
        const err: anyerror = e;
        result = .{ .failed = true, .reason = .of(if (err == error.Refused) lantern.reason else @errorName(err)) };
    };
    inline for (projection.tables) |table| table.forget();
    return &result;
}

export fn cabi_post_apply(_: *const abi.Result) void {
    _ = abi.batch_memory.reset(.retain_capacity);
}
