//! Punctuality of carriers and the travels of aircraft.
const lantern = @import("lantern");

pub const projection: lantern.Projection = .{
    .name = "flights",
    .read_model_version = 1,
    .categories = &.{"aircraft"},
    .event_types = lantern.eventTypes(Data),
    .tables = &.{ carriers, aircraft },
};

const carriers = lantern.Table(Carrier, .{ .name = "carriers", .key = .{.carrier} });
const aircraft = lantern.Table(Aircraft, .{ .name = "aircraft", .key = .{.tail_number} });

/// The flights of one carrier.
const Carrier = struct {
    carrier: []const u8,
    /// Scheduled flights, cancelled ones included.
    flights: i64,
    cancelled: i64,
    departures: i64,
    /// In minutes; flights that left early count below zero.
    total_departure_delay: i64,
    /// In minutes; null before the first departure.
    mean_departure_delay: ?f64,
};

/// The flights of one aircraft.
const Aircraft = struct {
    tail_number: []const u8,
    /// Scheduled flights, cancelled ones included.
    flights: i64,
    /// Miles of the scheduled flights.
    distance: i64,
    /// Where the flight that was scheduled last goes to.
    last_destination: []const u8,
};

const Data = union(enum) {
    FlightScheduled: struct { carrier: []const u8, dest: []const u8, distance: i64 },
    FlightDeparted: struct { carrier: []const u8, delay: i64 },
    FlightCancelled: struct { carrier: []const u8 },
};

pub fn prefetch(event: lantern.Event) !void {
    aircraft.prefetch(event.aggregate_id);
}

pub fn apply(event: lantern.Event) !void {
    switch (try event.decode(Data)) {
        .FlightScheduled => |flight| {
            carriers.getOrDefault(flight.carrier).flights += 1;
            const row = aircraft.getOrDefault(event.aggregate_id);
            row.flights += 1;
            row.distance += flight.distance;
            row.last_destination = flight.dest;
        },
        .FlightDeparted => |flight| {
            const row = carriers.getOrDefault(flight.carrier);
            row.departures += 1;
            row.total_departure_delay += flight.delay;
            row.mean_departure_delay = @as(f64, @floatFromInt(row.total_departure_delay)) / @as(f64, @floatFromInt(row.departures));
        },
        .FlightCancelled => |flight| carriers.getOrDefault(flight.carrier).cancelled += 1,
    }
}
