//! Punctuality of carriers and the travels of aircraft.
#include "lantern.h"

/// The flights of one carrier.
struct carrier {
    lantern_text carrier;
    /// Scheduled flights, cancelled ones included.
    int64_t flights;
    int64_t cancelled;
    int64_t departures;
    /// In minutes; flights that left early count below zero.
    int64_t total_departure_delay;
    /// In minutes; null before the first departure.
    lantern_real_or_null mean_departure_delay;
};
LANTERN_TABLE(carriers, struct carrier, (carrier),
              (flights, cancelled, departures, total_departure_delay, mean_departure_delay));

/// The flights of one aircraft.
struct aircraft {
    lantern_text tail_number;
    /// Scheduled flights, cancelled ones included.
    int64_t flights;
    /// Miles of the scheduled flights.
    int64_t distance;
    /// Where the flight that was scheduled last goes to.
    lantern_text last_destination;
};
LANTERN_TABLE(aircraft, struct aircraft, (tail_number), (flights, distance, last_destination));

static void prefetch(const lantern_event *event) { lantern_prefetch(aircraft, event->aggregate_id); }

static void apply(const lantern_event *event) {
    struct carrier *carrier = lantern_get_or_default(carriers, lantern_field_text(event, "carrier"));

    if (lantern_is(event, "FlightScheduled")) {
        carrier->flights += 1;
        struct aircraft *row = lantern_get_or_default(aircraft, event->aggregate_id);
        row->flights += 1;
        row->distance += lantern_field_integer(event, "distance");
        row->last_destination = lantern_field_text(event, "dest");
    } else if (lantern_is(event, "FlightDeparted")) {
        carrier->departures += 1;
        carrier->total_departure_delay += lantern_field_integer(event, "delay");
        double mean = (double)carrier->total_departure_delay / (double)carrier->departures;
        carrier->mean_departure_delay = (lantern_real_or_null){true, mean};
    } else if (lantern_is(event, "FlightCancelled")) {
        carrier->cancelled += 1;
    }
}

const lantern_projection projection = {
    .name = "flights",
    .read_model_version = 1,
    .categories = {"aircraft"},
    .event_types = {"FlightScheduled", "FlightDeparted", "FlightCancelled"},
    .tables = {&carriers, &aircraft},
    .apply = apply,
    .prefetch = prefetch,
};
