//! All that a projection in C++ uses: rows, events, fields, errors, log lines. A thin layer over `c/lantern.h`.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "lantern.h"

namespace lantern {

/// UTF-8 that lives until the end of the batch. Made from any string by copying it, so a row may keep it.
class text : public std::string_view {
public:
    constexpr text() = default;
    template <std::convertible_to<std::string_view> String>
    text(const String &string) : text(copy(string)) {}
    text(lantern_text bytes) : std::string_view(bytes.bytes, bytes.length) {}
    operator lantern_text() const { return {data(), size()}; }

private:
    static lantern_text copy(std::string_view string) { return lantern_copy(string.data(), string.size()); }
};

/// Bytes that live until the end of the batch. Made from any sequence of bytes by copying it.
class blob : public std::span<const std::uint8_t> {
public:
    blob() = default;
    template <std::convertible_to<std::span<const std::uint8_t>> Bytes>
    blob(const Bytes &bytes) : blob(copy(bytes)) {}
    blob(lantern_blob bytes) : std::span<const std::uint8_t>(bytes.bytes, bytes.length) {}
    operator lantern_blob() const { return {data(), size()}; }

private:
    static lantern_blob copy(std::span<const std::uint8_t> bytes) {
        auto copied = lantern_copy(reinterpret_cast<const char *>(bytes.data()), bytes.size());
        return {reinterpret_cast<const std::uint8_t *>(copied.bytes), copied.length};
    }
};

/// The parts one after the other: texts and numbers.
text join(const auto &...parts) {
    std::string joined;
    auto append = [&](const auto &part) {
        if constexpr (std::convertible_to<decltype(part), std::string_view>) joined += std::string_view(part);
        else joined += std::to_string(part);
    };
    (append(parts), ...);
    return joined;
}

/// Refuses the event: Lantern parks it, and the later events of its stream, with the parts as the text. Return after it;
/// nothing that this batch wrote is kept. The first failure counts, so it does no harm to go on for a while.
void fail(const auto &...reason) {
    auto text = join(reason...);
    lantern_fail("%.*s", LANTERN_PRINT(lantern_text(text)));
}

/// Whether this event has failed already, for loops that should end early.
inline bool failed() { return lantern_failed(); }

enum class level { debug = LANTERN_DEBUG, info = LANTERN_INFO, warn = LANTERN_WARN, error = LANTERN_ERROR };

/// A line in Lantern's log, marked with the plugin's name.
void log(level level, const auto &...parts) {
    auto text = join(parts...);
    lantern_log(static_cast<lantern_level>(level), "%.*s", LANTERN_PRINT(lantern_text(text)));
}

/// One event of the log.
struct event {
    /// UUID in its hyphenated lower-case form.
    text id;
    /// The stream's name, such as `order-42`, and its parts: category `order`, aggregate id `42`.
    text stream, category, aggregate_id;
    /// What happened, such as `OrderPlaced`.
    text type;
    text content_type;
    /// JSON text, or base64 when the content type is not JSON.
    text data;
    /// A JSON object; `{}` when the writer said nothing.
    text metadata;
    /// Place of the event in its stream and in the whole log; the first is 1.
    std::uint64_t version, position;
    /// When it happened, in microseconds since 1970-01-01T00:00:00Z.
    std::int64_t time;
    /// Which shape the data has; the first shape of an event type is 1.
    std::uint32_t schema_version;

    explicit event(const lantern_event &from)
        : id(from.id), stream(from.stream), category(from.category), aggregate_id(from.aggregate_id), type(from.type),
          content_type(from.content_type), data(from.data), metadata(from.metadata), version(from.version),
          position(from.position), time(from.time), schema_version(from.schema_version), recorded(from) {}

    /// A field of the data: `std::int64_t`, `double`, `bool`, `text`, or `std::optional` of one, which takes a field that
    /// is missing or null. A field that is not of this type fails the event and answers zero. Integers are exact.
    template <class Field>
    Field get(const char *name) const;

    /// Any other JSON, to be read with <yyjson.h>. NULL, and the event fails, when the data is not JSON.
    yyjson_val *json() const { return lantern_json(&recorded); }

private:
    const lantern_event &recorded;
};

#define LANTERN_FIELD(type, kind)                                                                      \
    template <>                                                                                        \
    inline type event::get<type>(const char *name) const {                                             \
        return lantern_field_##kind(&recorded, name);                                                  \
    }                                                                                                  \
    template <>                                                                                        \
    inline std::optional<type> event::get<std::optional<type>>(const char *name) const {               \
        auto field = lantern_field_##kind##_or_null(&recorded, name);                                  \
        return field.present ? std::optional<type>(field.value) : std::nullopt;                        \
    }
LANTERN_FIELD(std::int64_t, integer)
LANTERN_FIELD(double, real)
LANTERN_FIELD(bool, boolean)
LANTERN_FIELD(text, text)
#undef LANTERN_FIELD

/// How a C++ type becomes a cell and back.
template <class Cell>
struct cell;
#define LANTERN_CELL(type, kind, wire)                                                                \
    template <>                                                                                       \
    struct cell<type> {                                                                               \
        static constexpr std::uint8_t tag = wire;                                                     \
        static constexpr bool nullable = false;                                                       \
        static lantern_value load(type value) { return {.tag = wire, .kind = value}; }                \
        static type store(lantern_value value) { return value.kind; }                                 \
    };
LANTERN_CELL(std::int64_t, integer, LANTERN_INTEGER)
LANTERN_CELL(double, real, LANTERN_REAL)
LANTERN_CELL(bool, boolean, LANTERN_BOOLEAN)
LANTERN_CELL(text, text, LANTERN_TEXT)
LANTERN_CELL(blob, blob, LANTERN_BLOB)
#undef LANTERN_CELL

template <class Cell>
struct cell<std::optional<Cell>> {
    static constexpr std::uint8_t tag = cell<Cell>::tag;
    static constexpr bool nullable = true;
    static lantern_value load(std::optional<Cell> value) { return value ? cell<Cell>::load(*value) : lantern_value{}; }
    static std::optional<Cell> store(lantern_value value) {
        return value.tag == LANTERN_NULL ? std::nullopt : std::optional(cell<Cell>::store(value));
    }
};

template <class Cell>
inline constexpr lantern_member member = {
    cell<Cell>::tag,
    cell<Cell>::nullable,
    [](const void *at) { return cell<Cell>::load(*static_cast<const Cell *>(at)); },
    [](void *at, lantern_value value) { *static_cast<Cell *>(at) = cell<Cell>::store(value); },
};

/// The rows that a search found, as references.
template <class Row>
class found {
public:
    struct iterator {
        Row **at;
        Row &operator*() const { return **at; }
        iterator &operator++() { return ++at, *this; }
        bool operator==(std::default_sentinel_t) const { return !*at; }
    };
    explicit found(Row **rows) : rows(rows) {}
    iterator begin() const { return {rows}; }
    std::default_sentinel_t end() const { return {}; }

private:
    Row **rows;
};

/// A table of the read model, declared with `LANTERN_TABLE`. Keys are given as the first members of the row. References and
/// pointers to rows hold until the end of the batch; change a row in place: Lantern writes the rows that have changed.
template <class Row>
struct table : lantern_table {
    static_assert(std::is_trivially_copyable_v<Row>, "a row has numbers, bool, lantern::text, lantern::blob and optionals");

    /// The row with this key, or null.
    Row *get(const auto &...key) {
        Row row{key...};
        return static_cast<Row *>(lantern_row_get(this, &row));
    }
    /// The row with this key; one that is not there is put with its members' defaults.
    Row &get_or_default(const auto &...key) {
        Row row{key...};
        return *static_cast<Row *>(lantern_row_get_or_put(this, &row));
    }
    /// Inserts the row, or replaces the one with the same key.
    Row &put(const Row &row) { return *static_cast<Row *>(lantern_row_put(this, &row)); }
    /// Deletes the row with this key, if there is one.
    void erase(const auto &...key) {
        Row row{key...};
        lantern_row_delete(this, &row);
    }
    /// Has the row read together with others, by one call instead of one each. For `projection::prefetch`.
    void prefetch(const auto &...key) {
        Row row{key...};
        lantern_row_prefetch(this, &row);
    }
    /// The rows whose indexed columns equal the values (fewer values than columns: a prefix), ordered by key; at most 10,000.
    template <class... Values>
    found<Row> find(const char *index, const Values &...values) {
        lantern_value cells[] = {value(values)...};
        return found<Row>(reinterpret_cast<Row **>(lantern_rows_find(this, index, cells, sizeof...(Values))));
    }

private:
    template <class Value>
    static lantern_value value(const Value &given) {
        if constexpr (std::convertible_to<Value, std::string_view>) return cell<text>::load(given);
        else if constexpr (std::same_as<Value, int>) return cell<std::int64_t>::load(given);
        else return cell<Value>::load(given);
    }
};

/// What a projection is; `LANTERN_PROJECTION` takes its members by name.
struct projection {
    /// `[a-z][a-z0-9-]{0,62}`
    const char *name;
    /// Raise it to have history replayed into a new read model.
    std::uint32_t read_model_version;
    /// Which events it reads: none named means all.
    const char *categories[32] = {}, *event_types[256] = {};
    lantern_table *tables[33];
    /// Applies one event to the rows.
    void (*apply)(const event &event);
    /// If given, called for every event of a batch before the first `apply`, to name rows with `table::prefetch`.
    void (*prefetch)(const event &event) = nullptr;
};

template <const projection &declared>
constexpr lantern_projection exported() {
    lantern_projection exported = {.name = declared.name, .read_model_version = declared.read_model_version};
    std::copy(std::begin(declared.categories), std::end(declared.categories), exported.categories);
    std::copy(std::begin(declared.event_types), std::end(declared.event_types), exported.event_types);
    std::copy(std::begin(declared.tables), std::end(declared.tables), exported.tables);
    exported.apply = [](const lantern_event *recorded) { declared.apply(event(*recorded)); };
    if (declared.prefetch) exported.prefetch = [](const lantern_event *recorded) { declared.prefetch(event(*recorded)); };
    return exported;
}

}  // namespace lantern

/// Declares `static lantern::table<Row> NAME` from a struct: its members are the columns, under the same names.
///
///     struct Order { lantern::text order_id, customer; std::int64_t total = 0; };
///     LANTERN_TABLE(orders, Order, (order_id), (customer, total), .indexes = {{"orders_by_customer", {"customer"}}});
///
/// First the columns of the primary key, then the others.
#define LANTERN_TABLE(table_, row, key, columns_, ...)                                                          \
    static lantern::table<row> table_{{.name = #table_,                                                         \
                                       .row_size = sizeof(row),                                                 \
                                       .key_columns = 0 LANTERN_EACH(LANTERN_ONE, row, LANTERN_BARE key),       \
                                       .columns = {LANTERN_EACH(LANTERN_COLUMN, row, LANTERN_BARE key)          \
                                                   LANTERN_EACH(LANTERN_COLUMN, row, LANTERN_BARE columns_)},   \
                                       __VA_ARGS__}}
#define LANTERN_MEMBER(row, name) &lantern::member<decltype(row::name)>

/// Makes this plugin the projection with these members: `LANTERN_PROJECTION(.name = "orders", ...);`.
#define LANTERN_PROJECTION(...)                                                  \
    static constexpr lantern::projection declared_projection{__VA_ARGS__};       \
    extern "C" constexpr lantern_projection projection = lantern::exported<declared_projection>()
