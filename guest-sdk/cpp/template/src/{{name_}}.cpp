//! Counts the events of every stream.
#include "lantern.hpp"

struct Stream {
    lantern::text stream;
    std::int64_t events = 0;
    lantern::text last_type;
};
LANTERN_TABLE({{name_}}, Stream, (stream), (events, last_type));

static void apply(const lantern::event &event) {
    auto &row = {{name_}}.get_or_default(event.stream);
    row.events += 1;
    row.last_type = event.type;
}

LANTERN_PROJECTION(
    .name = "{{name}}",
    .read_model_version = 1,
    .tables = {&{{name_}}},
    .apply = apply,
);
