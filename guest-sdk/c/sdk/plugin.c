//! What the host calls: the description of the projection and one batch of events. And the memory of a batch.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"

#define EXPORT(name) __attribute__((export_name(name)))

// Memory: chunks that grow while a batch needs it, all freed at its end

struct chunk { alignas(16) struct chunk *before; size_t size, used; };
static struct chunk *newest;
enum { FIRST_CHUNK = 64 * 1024, LARGEST_CHUNK = 4 * 1024 * 1024 };

static void *allocate(size_t bytes, size_t alignment) {
    size_t at = newest ? (newest->used + alignment - 1) & ~(alignment - 1) : 0;
    if (!newest || bytes > newest->size || at > newest->size - bytes) {
        size_t size = !newest ? FIRST_CHUNK : newest->size < LARGEST_CHUNK ? newest->size * 2 : LARGEST_CHUNK;
        if (size < bytes) size = bytes;
        struct chunk *chunk = malloc(sizeof *chunk + size);
        if (!chunk) abort();
        *chunk = (struct chunk){.before = newest, .size = size};
        newest = chunk;
        at = 0;
    }
    newest->used = at + bytes;
    return (char *)(newest + 1) + at;
}

static void free_all(void) {
    while (newest) {
        struct chunk *before = newest->before;
        free(newest);
        newest = before;
    }
}

void *lantern_allocate(size_t bytes) { return memset(allocate(bytes, 16), 0, bytes); }

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t alignment, size_t size) {
    void *moved = allocate(size, alignment);
    return old ? memcpy(moved, old, old_size < size ? old_size : size) : moved;
}

// Failures

static lantern_text failure;

void lantern_fail(const char *format, ...) {
    if (lantern_failed()) return;
    va_list arguments;
    va_start(arguments, format);
    failure = lantern_format_list(format, arguments);
    va_end(arguments);
}

bool lantern_failed(void) { return failure.bytes; }

// The description

static size_t length_of(const char *const *names) {
    size_t length = 0;
    while (names[length]) length++;
    return length;
}

static abi_names names_of(const char *const *names) {
    size_t count = length_of(names);
    lantern_text *items = lantern_allocate(count * sizeof *items);
    for (size_t i = 0; i < count; i++) items[i] = lantern_string(names[i]);
    return (abi_names){items, count};
}

static abi_table describe_table(const lantern_table *table) {
    size_t columns = 0, indexes = 0;
    while (table->columns[columns].name) columns++;
    while (table->indexes[indexes].name) indexes++;
    abi_column *column = lantern_allocate(columns * sizeof *column);
    const char **key = lantern_allocate((table->key_columns + 1) * sizeof *key);
    for (size_t i = 0; i < columns; i++) {
        const lantern_column *declared = &table->columns[i];
        column[i] = (abi_column){lantern_string(declared->name), declared->member->tag - LANTERN_INTEGER,
                                 declared->member->nullable};
        if (i < table->key_columns) key[i] = declared->name;
    }
    abi_index *index = lantern_allocate(indexes * sizeof *index);
    for (size_t i = 0; i < indexes; i++)
        index[i] = (abi_index){lantern_string(table->indexes[i].name), names_of(table->indexes[i].columns)};
    return (abi_table){lantern_string(table->name), {column, columns}, names_of(key), {index, indexes}};
}

EXPORT("describe") const abi_description *describe(void) {
    size_t categories = length_of(projection.categories), tables = 0;
    size_t interests = categories ? categories : 1;
    abi_interest *interest = lantern_allocate(interests * sizeof *interest);
    for (size_t i = 0; i < interests; i++) {
        interest[i].event_types = names_of(projection.event_types);
        interest[i].has_category = i < categories;
        if (i < categories) interest[i].category = lantern_string(projection.categories[i]);
    }
    while (projection.tables[tables]) tables++;
    abi_table *table = lantern_allocate(tables * sizeof *table);
    for (size_t i = 0; i < tables; i++) table[i] = describe_table(projection.tables[i]);
    abi_description *description = lantern_allocate(sizeof *description);
    *description = (abi_description){lantern_string(projection.name), projection.read_model_version,
                                     {interest, interests}, {table, tables}};
    return description;
}

EXPORT("cabi_post_describe") void after_describe(const abi_description *) { free_all(); }

// A batch

static lantern_event event_of(const abi_event *event) {
    lantern_text stream = event->stream;
    const char *dash = memchr(stream.bytes, '-', stream.length);
    size_t category = dash ? (size_t)(dash - stream.bytes) : stream.length, behind = dash ? category + 1 : category;
    return (lantern_event){.id = event->id, .stream = stream, .category = {stream.bytes, category},
                           .aggregate_id = {stream.bytes + behind, stream.length - behind}, .type = event->event_type,
                           .content_type = event->content_type, .data = event->data, .metadata = event->metadata,
                           .version = event->version, .position = event->position, .time = event->time,
                           .schema_version = event->schema_version};
}

EXPORT("apply") const abi_result *apply(const abi_event *events, size_t count) {
    static abi_result result;
    for (size_t i = 0; projection.prefetch && i < count && !lantern_failed(); i++) {
        lantern_event event = event_of(&events[i]);
        projection.prefetch(&event);
        lantern_forget_data();
    }
    for (size_t i = 0; i < count && !lantern_failed(); i++) {
        lantern_event event = event_of(&events[i]);
        projection.apply(&event);
        lantern_forget_data();
    }
    for (lantern_table *const *table = projection.tables; *table; table++) {
        if (!lantern_failed()) lantern_write_rows(*table);
        lantern_forget_rows(*table);
    }
    result = (abi_result){lantern_failed(), failure};
    failure = (lantern_text){};
    return &result;
}

EXPORT("cabi_post_apply") void after_apply(const abi_result *) {
    lantern_free_documents();
    free_all();
}
