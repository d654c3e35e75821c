//! Counts the events of every stream.
#include "lantern.h"

struct stream {
    lantern_text stream;
    int64_t events;
    lantern_text last_type;
};
LANTERN_TABLE({{name_}}, struct stream, (stream), (events, last_type));

static void apply(const lantern_event *event) {
    struct stream *row = lantern_get_or_default({{name_}}, event->stream);
    row->events += 1;
    row->last_type = event->type;
}

const lantern_projection projection = {
    .name = "{{name}}",
    .read_model_version = 1,
    .tables = {&{{name_}}},
    .apply = apply,
};
