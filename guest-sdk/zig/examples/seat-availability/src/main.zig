//! How many seats each conference has left.
const lantern = @import("lantern");

pub const projection: lantern.Projection = .{
    .name = "seat-availability",
    .read_model_version = 1,
    .categories = &.{"conference"},
    .event_types = lantern.eventTypes(Data),
    .tables = &.{conferences},
};

const conferences = lantern.Table(Conference, .{ .name = "conferences", .key = .{.conference} });

/// The seats of one conference.
const Conference = struct {
    conference: []const u8,
    seats: i64,
    reserved: i64,
    /// Below zero when more seats are reserved than there are.
    available: i64,
    overbooked: bool,
};

const Data = union(enum) {
    ConferenceOpened: struct { seats: i64 },
    SeatsReserved: struct { seats: i64 },
    ReservationCancelled: struct { seats: i64 },
};

pub fn apply(event: lantern.Event) !void {
    const row = conferences.getOrDefault(event.aggregate_id);
    switch (try event.decode(Data)) {
        .ConferenceOpened => |opened| row.seats = opened.seats,
        .SeatsReserved => |reserved| row.reserved += reserved.seats,
        .ReservationCancelled => |cancelled| row.reserved -= cancelled.seats,
    }
    row.available = row.seats - row.reserved;
    row.overbooked = row.available < 0;
}
