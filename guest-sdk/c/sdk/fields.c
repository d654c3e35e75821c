//! The fields of an event's data.
#include <string.h>
#include <strings.h>

#include "abi.h"
#include <yyjson.h>

/// The parsed data of the event that is being applied; `is_parsed` also when it was no JSON.
static yyjson_val *data;
static bool is_parsed;

void lantern_forget_data(void) { is_parsed = false; }

/// What was parsed in this batch: the texts of rows point into it.
static struct document { struct document *before; yyjson_doc *parsed; } *documents;

void lantern_free_documents(void) {
    for (; documents; documents = documents->before) yyjson_doc_free(documents->parsed);
}

yyjson_val *lantern_parse(lantern_text json, lantern_text what) {
    yyjson_read_err error;
    yyjson_doc *parsed = yyjson_read_opts((char *)json.bytes, json.length, YYJSON_READ_NOFLAG, NULL, &error);
    if (!parsed) {
        lantern_fail("%.*s: %s at byte %zu", LANTERN_PRINT(what), error.msg, error.pos);
        return NULL;
    }
    struct document *document = lantern_allocate(sizeof *document);
    *document = (struct document){documents, parsed};
    documents = document;
    return yyjson_doc_get_root(parsed);
}

/// `application/json` or anything that ends in `+json`, whatever the case and the parameters.
static bool is_json(lantern_text content_type) {
    size_t length = 0;
    while (length < content_type.length && !strchr("; ", content_type.bytes[length])) length++;
    return (length == 16 && !strncasecmp(content_type.bytes, "application/json", length)) ||
           (length > 5 && !strncasecmp(content_type.bytes + length - 5, "+json", 5));
}

yyjson_val *lantern_json(const lantern_event *event) {
    if (is_parsed) return data;
    is_parsed = true;
    data = NULL;
    if (!is_json(event->content_type))
        lantern_fail("%.*s: the data is %.*s, not JSON", LANTERN_PRINT(event->type), LANTERN_PRINT(event->content_type));
    else
        data = lantern_parse(event->data, event->type);
    return data;
}

/// The field, or NULL: it is missing, null, or something failed.
static yyjson_val *find_field(const lantern_event *event, const char *name, bool nullable) {
    yyjson_val *object = lantern_json(event), *found = NULL, *key;
    if (!object) return NULL;
    if (!yyjson_is_obj(object)) {
        lantern_fail("%.*s: the data is no JSON object", LANTERN_PRINT(event->type));
        return NULL;
    }
    yyjson_obj_iter fields = yyjson_obj_iter_with(object);
    while ((key = yyjson_obj_iter_next(&fields))) {
        if (!yyjson_equals_str(key, name)) continue;
        if (found) lantern_fail("%.*s: duplicate field `%s`", LANTERN_PRINT(event->type), name);
        found = yyjson_obj_iter_get_val(key);
    }
    if (!found && !nullable) lantern_fail("%.*s: missing field `%s`", LANTERN_PRINT(event->type), name);
    return nullable && yyjson_is_null(found) ? NULL : found;
}

static void unfit(const lantern_event *event, const char *name, yyjson_val *found, const char *expected) {
    const char *type = yyjson_is_uint(found) ? "too large a number" : yyjson_get_type_desc(found);
    lantern_fail("%.*s: field `%s`: %s, expected %s", LANTERN_PRINT(event->type), name, type, expected);
}

static int64_t integer(const lantern_event *event, const char *name, yyjson_val *found) {
    if (yyjson_is_sint(found) || (yyjson_is_uint(found) && yyjson_get_uint(found) <= INT64_MAX))
        return yyjson_get_sint(found);
    if (found) unfit(event, name, found, "an integer of 64 bits");
    return 0;
}

static double real(const lantern_event *event, const char *name, yyjson_val *found) {
    if (found && !yyjson_is_num(found)) unfit(event, name, found, "a number");
    return yyjson_get_num(found);
}

static bool boolean(const lantern_event *event, const char *name, yyjson_val *found) {
    if (found && !yyjson_is_bool(found)) unfit(event, name, found, "a boolean");
    return yyjson_get_bool(found);
}

static lantern_text text(const lantern_event *event, const char *name, yyjson_val *found) {
    if (yyjson_is_str(found)) return (lantern_text){yyjson_get_str(found), yyjson_get_len(found)};
    if (found) unfit(event, name, found, "a string");
    return (lantern_text){};
}

#define FIELD(type, kind)                                                                                 \
    type lantern_field_##kind(const lantern_event *event, const char *name) {                             \
        return kind(event, name, find_field(event, name, false));                                         \
    }                                                                                                     \
    lantern_##kind##_or_null lantern_field_##kind##_or_null(const lantern_event *event, const char *name) { \
        yyjson_val *found = find_field(event, name, true);                                                \
        return (lantern_##kind##_or_null){found != NULL, kind(event, name, found)};                       \
    }
FIELD(int64_t, integer)
FIELD(double, real)
FIELD(bool, boolean)
FIELD(lantern_text, text)
