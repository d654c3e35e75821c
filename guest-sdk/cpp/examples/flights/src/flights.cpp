//! Punctuality of carriers and the travels of aircraft.
#include "lantern.hpp"

/// The flights of one carrier.
struct Carrier {
    lantern::text carrier;
    /// Scheduled flights, cancelled ones included.
    std::int64_t flights = 0;
    std::int64_t cancelled = 0;
    std::int64_t departures = 0;
    /// In minutes; flights that left early count below zero.
    std::int64_t total_departure_delay = 0;
    /// In minutes; null before the first departure.
    std::optional<double> mean_departure_delay;
};
LANTERN_TABLE(carriers, Carrier, (carrier),
              (flights, cancelled, departures, total_departure_delay, mean_departure_delay));

/// The flights of one aircraft.
struct Aircraft {
    lantern::text tail_number;
    /// Scheduled flights, cancelled ones included.
    std::int64_t flights = 0;
    /// Miles of the scheduled flights.
    std::int64_t distance = 0;
    /// Where the flight that was scheduled last goes to.
    lantern::text last_destination;
};
LANTERN_TABLE(aircraft, Aircraft, (tail_number), (flights, distance, last_destination));

static void prefetch(const lantern::event &event) { aircraft.prefetch(event.aggregate_id); }

static void apply(const lantern::event &event) {
    auto &carrier = carriers.get_or_default(event.get<lantern::text>("carrier"));

    if (event.type == "FlightScheduled") {
        carrier.flights += 1;
        auto &row = aircraft.get_or_default(event.aggregate_id);
        row.flights += 1;
        row.distance += event.get<std::int64_t>("distance");
        row.last_destination = event.get<lantern::text>("dest");
    } else if (event.type == "FlightDeparted") {
        carrier.departures += 1;
        carrier.total_departure_delay += event.get<std::int64_t>("delay");
        carrier.mean_departure_delay = double(carrier.total_departure_delay) / double(carrier.departures);
    } else if (event.type == "FlightCancelled") {
        carrier.cancelled += 1;
    }
}

LANTERN_PROJECTION(
    .name = "flights",
    .read_model_version = 1,
    .categories = {"aircraft"},
    .event_types = {"FlightScheduled", "FlightDeparted", "FlightCancelled"},
    .tables = {&carriers, &aircraft},
    .apply = apply,
    .prefetch = prefetch,
);
