//! Uses all of the SDK. The conformance suite compares its rows with those of the other languages.
const std = @import("std");
const lantern = @import("lantern");

pub const projection: lantern.Projection = .{
    .name = "conformance",
    .read_model_version = 1,
    .categories = &.{"thing"},
    .tables = &.{ things, groups, echoes },
};

const things = lantern.Table(Thing, .{
    .name = "things",
    .key = .{.id},
    .indexes = .{ .things_by_group = .{ .group_name, .flag } },
});
const groups = lantern.Table(Group, .{ .name = "groups", .key = .{ .group_name, .selection } });
const echoes = lantern.Table(Echo, .{ .name = "echoes", .key = .{.position} });

const Thing = struct {
    id: []const u8,
    group_name: []const u8,
    whole: ?i64,
    fraction: ?f64,
    note: ?[]const u8,
    bytes: ?lantern.Blob,
    flag: ?bool,
    changes: i64,
};

const Group = struct {
    group_name: []const u8,
    selection: enum { all, flagged },
    members: i64,
    total: i64,
    ids: []const u8,
};

const Echo = struct {
    position: u64,
    id: []const u8,
    stream: []const u8,
    category: []const u8,
    aggregate_id: []const u8,
    version: u64,
    event_type: []const u8,
    schema_version: u32,
    time: i64,
    content_type: []const u8,
    data: []const u8,
    metadata: []const u8,
};

const Data = union(enum) {
    ThingStored: struct {
        group: []const u8,
        whole: ?i64,
        fraction: ?f64,
        note: ?[]const u8,
        bytes: ?[]const u8,
        flag: ?bool,
    },
    ThingTouched,
    ThingCopied: struct { to: []const u8 },
    ThingRemoved,
    GroupCounted: struct { group: []const u8 },
    GroupDissolved: struct { group: []const u8 },
    ThingRefused: struct { why: []const u8 },
    ThingTrapped,
    ThingEchoed,
};

pub fn apply(event: lantern.Event) !void {
    const id = event.aggregate_id;
    switch (try event.decode(Data)) {
        .ThingStored => |stored| {
            const thing = things.getOrDefault(id);
            thing.* = .{
                .id = id,
                .group_name = stored.group,
                .whole = stored.whole,
                .fraction = stored.fraction,
                .note = stored.note,
                .bytes = if (stored.bytes) |hex| try bytesOf(hex) else null,
                .flag = stored.flag,
                .changes = thing.changes + 1,
            };
        },
        .ThingTouched => things.getOrDefault(id).changes += 1,
        .ThingCopied => |copied| {
            var thing = (try existing(id)).*;
            thing.id = copied.to;
            thing.changes = 1;
            _ = things.put(thing);
        },
        .ThingRemoved => {
            _ = try existing(id);
            things.delete(id);
        },
        .GroupCounted => |counted| {
            try count(counted.group, .all, things.find(.things_by_group, .{counted.group}));
            try count(counted.group, .flagged, things.find(.things_by_group, .{ counted.group, true }));
        },
        .GroupDissolved => |dissolved| {
            for (things.find(.things_by_group, .{dissolved.group})) |thing| things.delete(thing.id);
            groups.delete(.{ dissolved.group, .all });
            groups.delete(.{ dissolved.group, .flagged });
        },
        .ThingRefused => |refused| return lantern.fail("refused: {s}", .{refused.why}),
        .ThingTrapped => @panic("trapped on purpose"),
        .ThingEchoed => _ = echoes.put(.{
            .position = event.position,
            .id = event.id,
            .stream = event.stream,
            .category = event.category,
            .aggregate_id = id,
            .version = event.version,
            .event_type = event.type,
            .schema_version = event.schema_version,
            .time = event.time,
            .content_type = event.content_type,
            .data = event.data,
            .metadata = event.metadata,
        }),
    }
}

fn existing(id: []const u8) !*Thing {
    return things.get(id) orelse lantern.fail("thing {s} is not there", .{id});
}

fn bytesOf(hex: []const u8) !lantern.Blob {
    const bytes = try lantern.allocator.alloc(u8, hex.len / 2);
    return .{ .bytes = try std.fmt.hexToBytes(bytes, hex) };
}

fn count(group: []const u8, selection: @FieldType(Group, "selection"), found: []const *Thing) !void {
    var row: Group = .{ .group_name = group, .selection = selection, .members = @intCast(found.len), .total = 0, .ids = "" };
    const ids = try lantern.allocator.alloc([]const u8, found.len);
    for (found, ids) |thing, *id| {
        row.total += thing.whole orelse 0;
        id.* = thing.id;
    }
    row.ids = try std.mem.join(lantern.allocator, ",", ids);
    _ = groups.put(row);
}
