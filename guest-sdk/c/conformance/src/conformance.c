//! Uses all of the SDK. The conformance suite compares its rows with those of the other languages.
#include <assert.h>
#include <string.h>

#include "lantern.h"

struct thing {
    lantern_text id;
    lantern_text group_name;
    lantern_integer_or_null whole;
    lantern_real_or_null fraction;
    lantern_text_or_null note;
    lantern_blob_or_null bytes;
    lantern_boolean_or_null flag;
    int64_t changes;
};
LANTERN_TABLE(things, struct thing, (id), (group_name, whole, fraction, note, bytes, flag, changes),
              .indexes = {{"things_by_group", {"group_name", "flag"}}});

struct group {
    lantern_text group_name, selection;
    int64_t members, total;
    lantern_text ids;
};
LANTERN_TABLE(groups, struct group, (group_name, selection), (members, total, ids));

struct echo {
    int64_t position;
    lantern_text id, stream, category, aggregate_id;
    int64_t version;
    lantern_text event_type;
    int64_t schema_version, time;
    lantern_text content_type, data, metadata;
};
LANTERN_TABLE(echoes, struct echo, (position), (id, stream, category, aggregate_id, version, event_type,
              schema_version, time, content_type, data, metadata));

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    lantern_fail("bytes: not lower-case hexadecimal");
    return 0;
}

static lantern_blob_or_null bytes_of(lantern_text_or_null hex) {
    if (!hex.present) return (lantern_blob_or_null){};
    if (hex.value.length % 2) lantern_fail("bytes: an odd number of digits");
    size_t length = hex.value.length / 2;
    uint8_t *bytes = lantern_allocate(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = hex_digit(hex.value.bytes[2 * i]) << 4 | hex_digit(hex.value.bytes[2 * i + 1]);
    return (lantern_blob_or_null){true, {bytes, length}};
}

static void store(const lantern_event *event) {
    struct thing *thing = lantern_get_or_default(things, event->aggregate_id);
    *thing = (struct thing){
        .id = event->aggregate_id,
        .group_name = lantern_field_text(event, "group"),
        .whole = lantern_field_integer_or_null(event, "whole"),
        .fraction = lantern_field_real_or_null(event, "fraction"),
        .note = lantern_field_text_or_null(event, "note"),
        .bytes = bytes_of(lantern_field_text_or_null(event, "bytes")),
        .flag = lantern_field_boolean_or_null(event, "flag"),
        .changes = thing->changes + 1,
    };
}

static struct thing *existing(const lantern_event *event) {
    struct thing *thing = lantern_get(things, event->aggregate_id);
    if (!thing) lantern_fail("thing %.*s is not there", LANTERN_PRINT(event->aggregate_id));
    return thing;
}

static void copy(const lantern_event *event) {
    struct thing *thing = existing(event);
    if (!thing) return;
    struct thing copied = *thing;
    copied.id = lantern_field_text(event, "to");
    copied.changes = 1;
    *lantern_get_or_default(things, copied.id) = copied;
}

static void count(lantern_text group, const char *selection, struct thing **found) {
    struct group *row = lantern_put(groups, group, lantern_string(selection));
    size_t length = 0, at = 0;
    for (struct thing **thing = found; *thing; thing++) length += (*thing)->id.length + 1;
    char *ids = lantern_allocate(length);
    for (struct thing **thing = found; *thing; thing++) {
        if (row->members > 0) ids[at++] = ',';
        memcpy(ids + at, (*thing)->id.bytes, (*thing)->id.length);
        at += (*thing)->id.length;
        row->members += 1;
        row->total += (*thing)->whole.value;
    }
    row->ids = (lantern_text){ids, at};
}

static void dissolve(lantern_text group) {
    for (struct thing **thing = lantern_find(things, "things_by_group", group); *thing; thing++)
        lantern_delete(things, (*thing)->id);
    lantern_delete(groups, group, lantern_string("all"));
    lantern_delete(groups, group, lantern_string("flagged"));
}

static void echo(const lantern_event *event) {
    lantern_put(echoes, .position = event->position, .id = event->id, .stream = event->stream,
                .category = event->category, .aggregate_id = event->aggregate_id, .version = event->version,
                .event_type = event->type, .schema_version = event->schema_version, .time = event->time,
                .content_type = event->content_type, .data = event->data, .metadata = event->metadata);
}

static void apply(const lantern_event *event) {
    if (lantern_is(event, "ThingStored")) {
        store(event);
    } else if (lantern_is(event, "ThingTouched")) {
        lantern_get_or_default(things, event->aggregate_id)->changes += 1;
    } else if (lantern_is(event, "ThingCopied")) {
        copy(event);
    } else if (lantern_is(event, "ThingRemoved")) {
        if (existing(event)) lantern_delete(things, event->aggregate_id);
    } else if (lantern_is(event, "GroupCounted")) {
        lantern_text group = lantern_field_text(event, "group");
        count(group, "all", lantern_find(things, "things_by_group", group));
        count(group, "flagged", lantern_find(things, "things_by_group", group, true));
    } else if (lantern_is(event, "GroupDissolved")) {
        dissolve(lantern_field_text(event, "group"));
    } else if (lantern_is(event, "ThingRefused")) {
        lantern_fail("refused: %.*s", LANTERN_PRINT(lantern_field_text(event, "why")));
    } else if (lantern_is(event, "ThingTrapped")) {
        assert(!"trapped on purpose");
    } else if (lantern_is(event, "ThingEchoed")) {
        echo(event);
    } else {
        lantern_fail("unknown event type %.*s", LANTERN_PRINT(event->type));
    }
}

const lantern_projection projection = {
    .name = "conformance",
    .read_model_version = 1,
    .categories = {"thing"},
    .tables = {&things, &groups, &echoes},
    .apply = apply,
};
