//! Uses all of the SDK. The conformance suite compares its rows with those of the other languages.
#include <cassert>
#include <charconv>
#include <vector>

#include "lantern.hpp"

using lantern::text, std::int64_t, std::optional;

struct Thing {
    text id, group_name;
    optional<int64_t> whole;
    optional<double> fraction;
    optional<text> note;
    optional<lantern::blob> bytes;
    optional<bool> flag;
    int64_t changes = 0;
};
LANTERN_TABLE(things, Thing, (id), (group_name, whole, fraction, note, bytes, flag, changes),
              .indexes = {{"things_by_group", {"group_name", "flag"}}});

struct Group {
    text group_name, selection;
    int64_t members = 0, total = 0;
    text ids;
};
LANTERN_TABLE(groups, Group, (group_name, selection), (members, total, ids));

struct Echo {
    int64_t position;
    text id, stream, category, aggregate_id;
    int64_t version;
    text event_type;
    int64_t schema_version, time;
    text content_type, data, metadata;
};
LANTERN_TABLE(echoes, Echo, (position), (id, stream, category, aggregate_id, version, event_type, schema_version, time,
              content_type, data, metadata));

static optional<lantern::blob> bytes_of(optional<text> hex) {
    if (!hex) return {};
    std::vector<std::uint8_t> bytes(hex->size() / 2);
    for (std::size_t i = 0; i < bytes.size(); i++) {
        const char *digits = hex->data() + 2 * i;
        if (std::from_chars(digits, digits + 2, bytes[i], 16).ptr != digits + 2) lantern::fail("bytes: not hexadecimal");
    }
    if (hex->size() % 2) lantern::fail("bytes: an odd number of digits");
    return bytes;
}

static void store(const lantern::event &event) {
    auto &thing = things.get_or_default(event.aggregate_id);
    thing = {
        .id = event.aggregate_id,
        .group_name = event.get<text>("group"),
        .whole = event.get<optional<int64_t>>("whole"),
        .fraction = event.get<optional<double>>("fraction"),
        .note = event.get<optional<text>>("note"),
        .bytes = bytes_of(event.get<optional<text>>("bytes")),
        .flag = event.get<optional<bool>>("flag"),
        .changes = thing.changes + 1,
    };
}

static Thing *existing(const lantern::event &event) {
    auto *thing = things.get(event.aggregate_id);
    if (!thing) lantern::fail("thing ", event.aggregate_id, " is not there");
    return thing;
}

static void copy(const lantern::event &event) {
    auto *thing = existing(event);
    if (!thing) return;
    auto copied = *thing;
    copied.id = event.get<text>("to");
    copied.changes = 1;
    things.put(copied);
}

static void count(text group, text selection, lantern::found<Thing> found) {
    Group row{.group_name = group, .selection = selection};
    std::string ids;
    for (auto &thing : found) {
        if (row.members > 0) ids += ",";
        ids += thing.id;
        row.members += 1;
        row.total += thing.whole.value_or(0);
    }
    row.ids = ids;
    groups.put(row);
}

static void dissolve(text group) {
    for (auto &thing : things.find("things_by_group", group)) things.erase(thing.id);
    groups.erase(group, "all");
    groups.erase(group, "flagged");
}

static void echo(const lantern::event &event) {
    echoes.put({
        .position = int64_t(event.position), .id = event.id, .stream = event.stream, .category = event.category,
        .aggregate_id = event.aggregate_id, .version = int64_t(event.version), .event_type = event.type,
        .schema_version = event.schema_version, .time = event.time, .content_type = event.content_type,
        .data = event.data, .metadata = event.metadata,
    });
}

static void apply(const lantern::event &event) {
    if (event.type == "ThingStored") {
        store(event);
    } else if (event.type == "ThingTouched") {
        things.get_or_default(event.aggregate_id).changes += 1;
    } else if (event.type == "ThingCopied") {
        copy(event);
    } else if (event.type == "ThingRemoved") {
        if (existing(event)) things.erase(event.aggregate_id);
    } else if (event.type == "GroupCounted") {
        auto group = event.get<text>("group");
        count(group, "all", things.find("things_by_group", group));
        count(group, "flagged", things.find("things_by_group", group, true));
    } else if (event.type == "GroupDissolved") {
        dissolve(event.get<text>("group"));
    } else if (event.type == "ThingRefused") {
        lantern::fail("refused: ", event.get<text>("why"));
    } else if (event.type == "ThingTrapped") {
        assert(!"trapped on purpose");
    } else if (event.type == "ThingEchoed") {
        echo(event);
    } else {
        lantern::fail("unknown event type ", event.type);
    }
}

LANTERN_PROJECTION(
    .name = "conformance",
    .read_model_version = 1,
    .categories = {"thing"},
    .tables = {&things, &groups, &echoes},
    .apply = apply,
);
