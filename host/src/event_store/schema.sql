-- The event log. Lantern only ever adds rows; `log` alone is updated.

-- One row: which log this is, and where it ends. Without it, events missing at the end would not be noticed.
CREATE TABLE log (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    id       BLOB    NOT NULL,  -- UUID, made with the file
    position INTEGER NOT NULL,  -- of the newest event
    chain    INTEGER NOT NULL   -- of the newest event
) STRICT;

CREATE TABLE streams (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- What events can be selected by.
CREATE TABLE kinds (
    id           INTEGER PRIMARY KEY,  -- dense, from 1
    category     TEXT    NOT NULL,
    event_type   TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    checksum     INTEGER NOT NULL,  -- over the names
    UNIQUE (category, event_type, content_type)
) STRICT;

CREATE TABLE events (
    position       INTEGER PRIMARY KEY,  -- dense, from 1
    stream_id      INTEGER NOT NULL,
    version        INTEGER NOT NULL,     -- dense in the stream, from 1
    kind_id        INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    id             BLOB    NOT NULL,     -- UUID
    time           INTEGER NOT NULL,     -- microseconds since 1970-01-01T00:00:00Z
    data           ANY     NOT NULL,     -- TEXT when the content type is JSON, otherwise BLOB
    metadata       TEXT    NOT NULL,     -- a JSON object
    checksum       INTEGER NOT NULL,     -- over everything above, names included
    chain          INTEGER NOT NULL      -- over the chain of the event before and this checksum
) STRICT;

CREATE UNIQUE INDEX events_by_stream ON events (stream_id, version);
CREATE UNIQUE INDEX events_by_id     ON events (id);
CREATE INDEX        events_by_kind   ON events (kind_id);  -- and position, which every index ends with
