//! All that a projection in C uses: rows, events, fields, errors, log lines.
//!
//! Texts, rows and everything else that a function here answers live until the end of the batch. A row may hold only
//! such texts, or constants: copy a buffer of your own with `lantern_copy` or `lantern_format`.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// UTF-8 of `length` bytes. It may hold zero bytes and does not end with one.
typedef struct { const char *bytes; size_t length; } lantern_text;
typedef struct { const uint8_t *bytes; size_t length; } lantern_blob;

/// The members of a row: `int64_t`, `double`, `bool`, `lantern_text`, `lantern_blob`, or for a nullable column one of
/// these. All zeros is null; `{ true, 7 }` is seven.
typedef struct { bool present; int64_t value; } lantern_integer_or_null;
typedef struct { bool present; double value; } lantern_real_or_null;
typedef struct { bool present; bool value; } lantern_boolean_or_null;
typedef struct { bool present; lantern_text value; } lantern_text_or_null;
typedef struct { bool present; lantern_blob value; } lantern_blob_or_null;

/// One event of the log.
typedef struct {
    /// UUID in its hyphenated lower-case form.
    lantern_text id;
    /// The stream's name, such as `order-42`, and its parts: category `order`, aggregate id `42`.
    lantern_text stream, category, aggregate_id;
    /// What happened, such as `OrderPlaced`.
    lantern_text type;
    lantern_text content_type;
    /// JSON text, or base64 when the content type is not JSON. The `lantern_field_` functions read it.
    lantern_text data;
    /// A JSON object; `{}` when the writer said nothing.
    lantern_text metadata;
    /// Place of the event in its stream and in the whole log; the first is 1.
    uint64_t version, position;
    /// When it happened, in microseconds since 1970-01-01T00:00:00Z.
    int64_t time;
    /// Which shape the data has; the first shape of an event type is 1.
    uint32_t schema_version;
} lantern_event;

// Errors

/// Refuses the event: Lantern parks it, and the later events of its stream, with this text. Return after it; nothing
/// that this batch wrote is kept. The first failure counts, so it does no harm to go on for a while.
[[gnu::format(printf, 1, 2)]] void lantern_fail(const char *format, ...);
/// Whether this event has failed already, for loops that should end early.
bool lantern_failed(void);

// Texts

/// A text for `%.*s`, the only directive with a star that formats here take, and the only one that prints zero bytes:
/// `lantern_fail("no order %.*s", LANTERN_PRINT(event->aggregate_id))`.
#define LANTERN_PRINT(text) (int)(text).length, (text).bytes
bool lantern_equal(lantern_text one, lantern_text other);
lantern_text lantern_string(const char *constant);
lantern_text lantern_copy(const char *bytes, size_t length);
[[gnu::format(printf, 1, 2)]] lantern_text lantern_format(const char *format, ...);
bool lantern_is(const lantern_event *event, const char *type);
/// Memory that lives until the end of the batch, all zeros, aligned for anything.
void *lantern_allocate(size_t bytes);

// Fields of the event's data, which must be a JSON object

/// A field that is missing, null or of another type fails the event and answers zero. Integers are exact: one that is
/// not whole or does not fit 64 bits fails. A real must be finite; an integer is taken for one.
int64_t lantern_field_integer(const lantern_event *event, const char *name);
double lantern_field_real(const lantern_event *event, const char *name);
bool lantern_field_boolean(const lantern_event *event, const char *name);
lantern_text lantern_field_text(const lantern_event *event, const char *name);
/// As above, but a field that is missing or null is null.
lantern_integer_or_null lantern_field_integer_or_null(const lantern_event *event, const char *name);
lantern_real_or_null lantern_field_real_or_null(const lantern_event *event, const char *name);
lantern_boolean_or_null lantern_field_boolean_or_null(const lantern_event *event, const char *name);
lantern_text_or_null lantern_field_text_or_null(const lantern_event *event, const char *name);
/// Any other JSON, to be read with <yyjson.h>: the event's data. Fails the event and answers NULL when it is not
/// JSON; every yyjson function takes NULL.
struct yyjson_val *lantern_json(const lantern_event *event);
/// As `lantern_json`, for another text such as the metadata; `what` names it in the error.
struct yyjson_val *lantern_parse(lantern_text json, lantern_text what);

// Rows

#ifndef __cplusplus
/// Declares `static lantern_table NAME` from a struct: its members are the columns, under the same names.
///
///     struct order { lantern_text order_id, customer; int64_t total; };
///     LANTERN_TABLE(orders, struct order, (order_id), (customer, total),
///                   .indexes = {{"orders_by_customer", {"customer"}}});
///
/// First the columns of the primary key, then the others.
#define LANTERN_TABLE(table, row, key, columns_, ...)                                                             \
    typedef row table##_row;                                                                                      \
    static lantern_table table = {.name = #table,                                                                 \
                                  .row_size = sizeof(row),                                                        \
                                  .key_columns = 0 LANTERN_EACH(LANTERN_ONE, row, LANTERN_BARE key),              \
                                  .columns = {LANTERN_EACH(LANTERN_COLUMN, row, LANTERN_BARE key)                 \
                                              LANTERN_EACH(LANTERN_COLUMN, row, LANTERN_BARE columns_)},          \
                                  __VA_ARGS__}

/// The row with this key, or NULL: `lantern_get(orders, event->aggregate_id)`. Change it in place: Lantern writes the
/// rows that have changed. Keys are given as the members of a row, in their order or by name (`.order_id = id`).
#define lantern_get(table, ...) ((table##_row *)lantern_row_get(&table, &(table##_row){__VA_ARGS__}))
/// As `lantern_get`; a row that is not there is put as it is given: the key, then zeros unless you name more members.
#define lantern_get_or_default(table, ...) \
    ((table##_row *)lantern_row_get_or_put(&table, &(table##_row){__VA_ARGS__}))
/// Inserts the row, or replaces the one with the same key: `lantern_put(orders, .order_id = id, .total = 7)`.
#define lantern_put(table, ...) ((table##_row *)lantern_row_put(&table, &(table##_row){__VA_ARGS__}))
/// Deletes the row with this key, if there is one.
#define lantern_delete(table, ...) lantern_row_delete(&table, &(table##_row){__VA_ARGS__})
/// Has the row read together with others, by one call instead of one each. For `lantern_projection.prefetch`.
#define lantern_prefetch(table, ...) lantern_row_prefetch(&table, &(table##_row){__VA_ARGS__})
/// The rows whose indexed columns equal the values (fewer values than columns: a prefix), ordered by key; at most 10,000.
///
///     for (struct order **order = lantern_find(orders, "orders_by_customer", customer); *order; order++)
#define lantern_find(table, index, ...)                                                                         \
    ((table##_row **)lantern_rows_find(&table, index,                                                           \
                                       (lantern_value[]){LANTERN_EACH(LANTERN_VALUE, , __VA_ARGS__)},           \
                                       0 LANTERN_EACH(LANTERN_ONE, , __VA_ARGS__)))
#endif

// Log lines: they appear in Lantern's log, marked with the plugin's name

enum lantern_level { LANTERN_DEBUG, LANTERN_INFO, LANTERN_WARN, LANTERN_ERROR };
[[gnu::format(printf, 2, 3)]] void lantern_log(enum lantern_level level, const char *format, ...);

// The projection

typedef struct lantern_table lantern_table;

/// What a projection is. Every plugin defines one: `const lantern_projection projection = { ... };`
typedef struct {
    /// `[a-z][a-z0-9-]{0,62}`
    const char *name;
    /// Raise it to have history replayed into a new read model.
    uint32_t read_model_version;
    /// Which events it reads: none named means all.
    const char *categories[32], *event_types[256];
    lantern_table *tables[33];
    /// Applies one event to the rows.
    void (*apply)(const lantern_event *event);
    /// If given, called for every event of a batch before the first `apply`, to name rows with `lantern_prefetch`.
    void (*prefetch)(const lantern_event *event);
} lantern_projection;

extern const lantern_projection projection;

// What the macros expand to

/// One cell as it crosses the boundary.
typedef struct {
    uint8_t tag;
    union { int64_t integer; double real; lantern_text text; lantern_blob blob; bool boolean; };
} lantern_value;
enum { LANTERN_NULL, LANTERN_INTEGER, LANTERN_REAL, LANTERN_TEXT, LANTERN_BLOB, LANTERN_BOOLEAN };

/// How a member of a row becomes a cell and back.
typedef struct {
    uint8_t tag;
    bool nullable;
    lantern_value (*load)(const void *member);
    void (*store)(void *member, lantern_value value);
} lantern_member;

typedef struct { const char *name; size_t offset; const lantern_member *member; } lantern_column;

struct lantern_table {
    const char *name;
    size_t row_size, key_columns;
    lantern_column columns[101];
    struct { const char *name, *columns[9]; } indexes[16];
    /// Of this batch; owned by rows.c.
    struct lantern_rows *rows;
};

void *lantern_row_get(lantern_table *table, const void *key);
void *lantern_row_get_or_put(lantern_table *table, const void *row);
void *lantern_row_put(lantern_table *table, const void *row);
void lantern_row_delete(lantern_table *table, const void *key);
void lantern_row_prefetch(lantern_table *table, const void *key);
void **lantern_rows_find(lantern_table *table, const char *index, const lantern_value *values, size_t count);

#define LANTERN_BARE(...) __VA_ARGS__
#define LANTERN_ONE(row, member) +1
#define LANTERN_COLUMN(row, member) {#member, offsetof(row, member), LANTERN_MEMBER(row, member)},
// LANTERN_EACH(M, row, a, b) is M(row, a) M(row, b), for up to 120 things.
#define LANTERN_EACH(macro, row, ...) __VA_OPT__(LANTERN_4(LANTERN_NEXT(macro, row, __VA_ARGS__)))
#define LANTERN_NEXT(macro, row, first, ...) macro(row, first) __VA_OPT__(LANTERN_AGAIN LANTERN_PARENTHESES (macro, row, __VA_ARGS__))
#define LANTERN_PARENTHESES ()
#define LANTERN_AGAIN() LANTERN_NEXT
#define LANTERN_4(...) LANTERN_3(LANTERN_3(LANTERN_3(__VA_ARGS__)))
#define LANTERN_3(...) LANTERN_2(LANTERN_2(LANTERN_2(LANTERN_2(__VA_ARGS__))))
#define LANTERN_2(...) LANTERN_1(LANTERN_1(LANTERN_1(LANTERN_1(__VA_ARGS__))))
#define LANTERN_1(...) LANTERN_0(LANTERN_0(LANTERN_0(__VA_ARGS__)))
#define LANTERN_0(...) __VA_ARGS__

#ifndef __cplusplus
#define LANTERN_MEMBERS(X)                                                                              \
    X(integer, int64_t, LANTERN_INTEGER) X(real, double, LANTERN_REAL) X(boolean, bool, LANTERN_BOOLEAN) \
    X(text, lantern_text, LANTERN_TEXT) X(blob, lantern_blob, LANTERN_BLOB)
#define LANTERN_DECLARE(kind, type, tag)                                                                              \
    extern const lantern_member lantern_member_##kind, lantern_member_##kind##_or_null;                               \
    static inline lantern_value lantern_value_##kind(type value) { return (lantern_value){tag, .kind = value}; }      \
    static inline lantern_value lantern_value_##kind##_or_null(lantern_##kind##_or_null value) {                      \
        return value.present ? lantern_value_##kind(value.value) : (lantern_value){LANTERN_NULL};                     \
    }
LANTERN_MEMBERS(LANTERN_DECLARE)
#define LANTERN_MEMBER(row, member)                                                                               \
    _Generic(((row *)0)->member,                                                                                  \
        int64_t: &lantern_member_integer, lantern_integer_or_null: &lantern_member_integer_or_null,               \
        double: &lantern_member_real, lantern_real_or_null: &lantern_member_real_or_null,                         \
        bool: &lantern_member_boolean, lantern_boolean_or_null: &lantern_member_boolean_or_null,                  \
        lantern_text: &lantern_member_text, lantern_text_or_null: &lantern_member_text_or_null,                   \
        lantern_blob: &lantern_member_blob, lantern_blob_or_null: &lantern_member_blob_or_null)
#define LANTERN_VALUE(_, cell)                                                                                    \
    _Generic((cell),                                                                                              \
        int: lantern_value_integer, int64_t: lantern_value_integer, double: lantern_value_real,                   \
        bool: lantern_value_boolean, lantern_text: lantern_value_text, lantern_blob: lantern_value_blob,          \
        lantern_integer_or_null: lantern_value_integer_or_null, lantern_real_or_null: lantern_value_real_or_null, \
        lantern_boolean_or_null: lantern_value_boolean_or_null,                                                   \
        lantern_text_or_null: lantern_value_text_or_null,                                                         \
        lantern_blob_or_null: lantern_value_blob_or_null)(cell),
#endif

#ifdef __cplusplus
}
#endif
