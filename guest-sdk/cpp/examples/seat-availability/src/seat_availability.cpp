//! How many seats each conference has left.
#include "lantern.hpp"

/// The seats of one conference.
struct Conference {
    lantern::text conference;
    std::int64_t seats = 0;
    std::int64_t reserved = 0;
    /// Below zero when more seats are reserved than there are.
    std::int64_t available = 0;
    bool overbooked = false;
};
LANTERN_TABLE(conferences, Conference, (conference), (seats, reserved, available, overbooked));

static void apply(const lantern::event &event) {
    auto &row = conferences.get_or_default(event.aggregate_id);
    auto seats = event.get<std::int64_t>("seats");
    if (event.type == "ConferenceOpened") row.seats = seats;
    if (event.type == "SeatsReserved") row.reserved += seats;
    if (event.type == "ReservationCancelled") row.reserved -= seats;
    row.available = row.seats - row.reserved;
    row.overbooked = row.available < 0;
}

LANTERN_PROJECTION(
    .name = "seat-availability",
    .read_model_version = 1,
    .categories = {"conference"},
    .event_types = {"ConferenceOpened", "SeatsReserved", "ReservationCancelled"},
    .tables = {&conferences},
    .apply = apply,
);
