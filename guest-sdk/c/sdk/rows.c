//! The rows of a batch: read once, changed in memory, written when the batch ends or an index is searched.
#include <string.h>

#include "abi.h"

/// The most keys that one call may ask for, and the most rows that a search answers.
enum { MOST_ROWS = 10000, FIRST_BUCKETS = 64 };

/// One key that the batch has met.
typedef struct entry {
    struct entry *next_in_bucket, *next, *next_wanted;
    uint64_t hash;
    const lantern_value *key;
    /// The row as the plugin sees it and, unless NULL, as the host has it.
    void *row, *stored;
    bool present, wanted;
} entry;

struct lantern_rows {
    entry *first, *wanted, **buckets;
    size_t count, wanted_count, bucket_count, changed_room;
    /// Room for the rows that a write hands over.
    abi_values *changed;
};

// Cells

static lantern_value cell_of(const lantern_column *column, const void *row) {
    return column->member->load((const char *)row + column->offset);
}

static size_t column_count(const lantern_table *table) {
    size_t count = table->key_columns;
    while (table->columns[count].name) count++;
    return count;
}

static lantern_value *cells_of(const lantern_table *table, const void *row, size_t count) {
    lantern_value *cells = lantern_allocate(count * sizeof *cells);
    for (size_t i = 0; i < count; i++) cells[i] = cell_of(&table->columns[i], row);
    return cells;
}

static void *row_of(const lantern_table *table, abi_values cells) {
    void *row = lantern_allocate(table->row_size);
    for (size_t i = 0; i < cells.count; i++) {
        const lantern_column *column = &table->columns[i];
        column->member->store((char *)row + column->offset, cells.items[i]);
    }
    return row;
}

static lantern_text bytes_of(const lantern_value *cell) {
    if (cell->tag == LANTERN_TEXT || cell->tag == LANTERN_BLOB) return cell->text;
    return (lantern_text){(const char *)&cell->integer, cell->tag == LANTERN_BOOLEAN ? 1 : 8};
}

static uint64_t hash_of(const lantern_value *key, size_t count) {
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (size_t i = 0; i < count; i++) {
        lantern_text bytes = bytes_of(&key[i]);
        for (size_t at = 0; at < bytes.length; at++) hash = (hash ^ (uint8_t)bytes.bytes[at]) * 1099511628211u;
        hash = (hash ^ bytes.length) * 1099511628211u;
    }
    return hash;
}

static bool same_key(const lantern_value *one, const lantern_value *other, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!lantern_equal(bytes_of(&one[i]), bytes_of(&other[i]))) return false;
    return true;
}

// Entries

static entry **bucket_of(struct lantern_rows *rows, uint64_t hash) {
    return &rows->buckets[(hash ^ hash >> 32) & (rows->bucket_count - 1)];
}

static void add_buckets(struct lantern_rows *rows) {
    rows->bucket_count = rows->bucket_count ? rows->bucket_count * 4 : FIRST_BUCKETS;
    rows->buckets = lantern_allocate(rows->bucket_count * sizeof *rows->buckets);
    for (entry *entry = rows->first; entry; entry = entry->next) {
        struct entry **bucket = bucket_of(rows, entry->hash);
        entry->next_in_bucket = *bucket;
        *bucket = entry;
    }
}

/// The entry of a key; a new one is absent.
static entry *entry_of(lantern_table *table, const lantern_value *key, bool *is_new) {
    if (!table->rows) table->rows = lantern_allocate(sizeof *table->rows);
    struct lantern_rows *rows = table->rows;
    if (rows->count == rows->bucket_count) add_buckets(rows);
    uint64_t hash = hash_of(key, table->key_columns);
    entry **bucket = bucket_of(rows, hash);
    for (entry *entry = *bucket; entry; entry = entry->next_in_bucket)
        if (entry->hash == hash && same_key(entry->key, key, table->key_columns)) return entry;
    entry *made = lantern_allocate(sizeof *made);
    *made = (entry){.next_in_bucket = *bucket, .next = rows->first, .hash = hash, .key = key};
    rows->count++;
    *is_new = true;
    return *bucket = rows->first = made;
}

static void want(lantern_table *table, entry *entry) {
    entry->wanted = true;
    entry->next_wanted = table->rows->wanted;
    table->rows->wanted = entry;
    table->rows->wanted_count++;
}

/// The entry is as the host has it.
static void set_stored(const lantern_table *table, entry *entry, abi_values cells) {
    entry->present = true;
    entry->stored = row_of(table, cells);
    entry->row = memcpy(lantern_allocate(table->row_size), entry->stored, table->row_size);
}

/// Reads all wanted rows.
static void read_wanted(lantern_table *table) {
    struct lantern_rows *rows = table->rows;
    while (rows->wanted) {
        size_t count = rows->wanted_count < MOST_ROWS ? rows->wanted_count : MOST_ROWS;
        abi_values *keys = lantern_allocate(count * sizeof *keys);
        entry *entry = rows->wanted;
        for (size_t i = 0; i < count; i++, entry = entry->next_wanted)
            keys[i] = (abi_values){entry->key, table->key_columns};
        abi_maybe_rows found;
        abi_get_many(table->name, strlen(table->name), keys, count, &found);
        for (size_t i = 0; i < count; i++, rows->wanted = rows->wanted->next_wanted) {
            // A row that was put, deleted or found since it was wanted is newer.
            if (rows->wanted->wanted && found.items[i].present) set_stored(table, rows->wanted, found.items[i].row);
            rows->wanted->wanted = false;
        }
        rows->wanted_count -= count;
    }
}

static entry *key_entry(lantern_table *table, const void *row, bool *is_new) {
    return entry_of(table, cells_of(table, row, table->key_columns), is_new);
}

static entry *read_entry(lantern_table *table, const void *key) {
    bool is_new = false;
    entry *entry = key_entry(table, key, &is_new);
    if (is_new) want(table, entry);
    if (entry->wanted) read_wanted(table);
    return entry;
}

static void *put_entry(const lantern_table *table, entry *entry, const void *row) {
    // A row that is replaced stays at its place, so that pointers to it go on to mean it.
    if (!entry->row) entry->row = lantern_allocate(table->row_size);
    entry->present = true;
    entry->wanted = false;
    return memmove(entry->row, row, table->row_size);
}

// What the author calls

void *lantern_row_get(lantern_table *table, const void *key) {
    entry *entry = read_entry(table, key);
    return entry->present ? entry->row : NULL;
}

void *lantern_row_get_or_put(lantern_table *table, const void *row) {
    entry *entry = read_entry(table, row);
    return entry->present ? entry->row : put_entry(table, entry, row);
}

void *lantern_row_put(lantern_table *table, const void *row) {
    bool is_new;
    return put_entry(table, key_entry(table, row, &is_new), row);
}

void lantern_row_delete(lantern_table *table, const void *key) {
    bool is_new;
    entry *entry = key_entry(table, key, &is_new);
    entry->present = entry->wanted = false;
    entry->stored = NULL;
    abi_delete(table->name, strlen(table->name), entry->key, table->key_columns);
}

void lantern_row_prefetch(lantern_table *table, const void *key) {
    bool is_new = false;
    entry *entry = key_entry(table, key, &is_new);
    if (is_new) want(table, entry);
}

void **lantern_rows_find(lantern_table *table, const char *index, const lantern_value *values, size_t count) {
    lantern_write_rows(table);
    abi_rows found;
    abi_find(table->name, strlen(table->name), index, strlen(index), values, count, MOST_ROWS, &found);
    void **rows = lantern_allocate((found.count + 1) * sizeof *rows);
    for (size_t i = 0; i < found.count; i++) {
        bool is_new = false;
        entry *entry = entry_of(table, found.items[i].items, &is_new);
        if (!entry->present) set_stored(table, entry, found.items[i]);
        entry->wanted = false;
        rows[i] = entry->row;
    }
    return rows;
}

// What a batch calls

static abi_values *changed_room(struct lantern_rows *rows) {
    if (rows->count > rows->changed_room) {
        rows->changed_room = rows->count * 2;
        rows->changed = lantern_allocate(rows->changed_room * sizeof *rows->changed);
    }
    return rows->changed;
}

void lantern_write_rows(lantern_table *table) {
    if (!table->rows) return;
    size_t columns = column_count(table), count = 0;
    abi_values *changed = changed_room(table->rows);
    for (entry *entry = table->rows->first; entry; entry = entry->next) {
        if (!entry->present || (entry->stored && !memcmp(entry->row, entry->stored, table->row_size))) continue;
        lantern_value *cells = cells_of(table, entry->row, columns);
        if (!same_key(cells, entry->key, table->key_columns)) {
            lantern_fail("a row of %s had its key changed: put a new row and delete this one", table->name);
            return;
        }
        if (!entry->stored) entry->stored = lantern_allocate(table->row_size);
        memcpy(entry->stored, entry->row, table->row_size);
        changed[count++] = (abi_values){cells, columns};
    }
    if (count) abi_put_many(table->name, strlen(table->name), changed, count);
}

void lantern_forget_rows(lantern_table *table) { table->rows = NULL; }

// How the members of a row become cells and back

#define MEMBER(kind, type, wire)                                                                                \
    static lantern_value load_##kind(const void *member) { return lantern_value_##kind(*(const type *)member); } \
    static void store_##kind(void *member, lantern_value value) { *(type *)member = value.kind; }               \
    const lantern_member lantern_member_##kind = {wire, false, load_##kind, store_##kind};                       \
    static lantern_value load_##kind##_or_null(const void *member) {                                            \
        return lantern_value_##kind##_or_null(*(const lantern_##kind##_or_null *)member);                       \
    }                                                                                                           \
    static void store_##kind##_or_null(void *member, lantern_value value) {                                     \
        bool present = value.tag != LANTERN_NULL;                                                               \
        *(lantern_##kind##_or_null *)member = (lantern_##kind##_or_null){present, present ? value.kind : (type){}}; \
    }                                                                                                           \
    const lantern_member lantern_member_##kind##_or_null = {wire, true, load_##kind##_or_null, store_##kind##_or_null};
LANTERN_MEMBERS(MEMBER)
