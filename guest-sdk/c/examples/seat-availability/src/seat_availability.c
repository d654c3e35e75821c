//! How many seats each conference has left.
#include "lantern.h"

/// The seats of one conference.
struct conference {
    lantern_text conference;
    int64_t seats;
    int64_t reserved;
    /// Below zero when more seats are reserved than there are.
    int64_t available;
    bool overbooked;
};
LANTERN_TABLE(conferences, struct conference, (conference), (seats, reserved, available, overbooked));

static void apply(const lantern_event *event) {
    struct conference *row = lantern_get_or_default(conferences, event->aggregate_id);
    int64_t seats = lantern_field_integer(event, "seats");
    if (lantern_is(event, "ConferenceOpened")) row->seats = seats;
    if (lantern_is(event, "SeatsReserved")) row->reserved += seats;
    if (lantern_is(event, "ReservationCancelled")) row->reserved -= seats;
    row->available = row->seats - row->reserved;
    row->overbooked = row->available < 0;
}

const lantern_projection projection = {
    .name = "seat-availability",
    .read_model_version = 1,
    .categories = {"conference"},
    .event_types = {"ConferenceOpened", "SeatsReserved", "ReservationCancelled"},
    .tables = {&conferences},
    .apply = apply,
};
