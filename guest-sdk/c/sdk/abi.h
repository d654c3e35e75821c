//! The world `projection` of `wit/` in the canonical ABI: the layouts of its records and the functions it imports.
//! The records of 32-bit WebAssembly are what C makes of these structs; the assertions say so.
#pragma once
#include <stdarg.h>

#include "lantern.h"

#define LANTERN_LIST(type) struct { const type *items; size_t count; }

typedef LANTERN_LIST(lantern_value) abi_values;
typedef LANTERN_LIST(abi_values) abi_rows;
typedef struct { bool present; abi_values row; } abi_maybe_row;
typedef LANTERN_LIST(abi_maybe_row) abi_maybe_rows;

typedef struct {
    lantern_text id, stream;
    uint64_t version, position;
    lantern_text event_type;
    uint32_t schema_version;
    int64_t time;
    lantern_text content_type, data, metadata;
} abi_event;

typedef LANTERN_LIST(lantern_text) abi_names;
typedef struct { bool has_category; lantern_text category; abi_names event_types; } abi_interest;
typedef struct { lantern_text name; uint8_t type; bool nullable; } abi_column;
typedef struct { lantern_text name; abi_names columns; } abi_index;
typedef struct {
    lantern_text name;
    LANTERN_LIST(abi_column) columns;
    abi_names primary_key;
    LANTERN_LIST(abi_index) indexes;
} abi_table;
typedef struct {
    lantern_text name;
    uint32_t read_model_version;
    LANTERN_LIST(abi_interest) interests;
    LANTERN_LIST(abi_table) tables;
} abi_description;
typedef struct { bool failed; lantern_text reason; } abi_result;

static_assert(sizeof(lantern_value) == 16 && offsetof(lantern_value, integer) == 8);
static_assert(sizeof(abi_event) == 80 && offsetof(abi_event, event_type) == 32 && offsetof(abi_event, time) == 48 &&
              offsetof(abi_event, metadata) == 72);
static_assert(sizeof(abi_maybe_row) == 12 && sizeof(abi_values) == 8 && sizeof(abi_result) == 12);
static_assert(sizeof(abi_interest) == 20 && offsetof(abi_interest, event_types) == 12);
static_assert(sizeof(abi_column) == 12 && offsetof(abi_column, nullable) == 9 && sizeof(abi_index) == 16);
static_assert(sizeof(abi_table) == 32 && sizeof(abi_description) == 28);

#define LANTERN_IMPORT(interface, name) \
    __attribute__((import_module("lantern:plugin/" interface "@0.1.0"), import_name(name))) extern
LANTERN_IMPORT("read-model", "get-many")
void abi_get_many(const char *table, size_t table_length, const abi_values *keys, size_t count, abi_maybe_rows *answer);
LANTERN_IMPORT("read-model", "find")
void abi_find(const char *table, size_t table_length, const char *index, size_t index_length,
              const lantern_value *values, size_t count, uint32_t limit, abi_rows *answer);
LANTERN_IMPORT("read-model-writes", "put-many")
void abi_put_many(const char *table, size_t table_length, const abi_values *rows, size_t count);
LANTERN_IMPORT("read-model-writes", "delete")
void abi_delete(const char *table, size_t table_length, const lantern_value *key, size_t count);
LANTERN_IMPORT("log", "log")
void abi_log(int32_t level, const char *message, size_t length);

/// Frees what was parsed in a batch.
void lantern_free_documents(void);
/// Forgets the rows of the batch; their memory goes with the batch.
void lantern_forget_rows(lantern_table *table);
/// Hands every row that has changed to the host.
void lantern_write_rows(lantern_table *table);
/// Forgets the event that the fields are read from.
void lantern_forget_data(void);
/// `lantern_format` with its arguments as a list.
lantern_text lantern_format_list(const char *format, va_list arguments);
