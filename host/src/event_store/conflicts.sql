-- Conflicts that were decided. An accepted or rewritten one is added in the transaction that appends its events.

CREATE TABLE conflicts (
    number         INTEGER PRIMARY KEY,  -- in the order of the decisions
    id             BLOB    NOT NULL UNIQUE,  -- UUID
    stream         TEXT    NOT NULL,
    expected       INTEGER NOT NULL,  -- version; the writer had not seen those from the next one
    actual         INTEGER NOT NULL,  -- up to this one
    proposed       TEXT    NOT NULL,  -- a JSON array of events; see conflicts.rs
    resolution     TEXT    NOT NULL CHECK (resolution IN ('accept', 'rewrite', 'reject')),
    rewritten      TEXT,              -- a JSON array of events
    reason         TEXT,              -- of a rejection
    resolver       TEXT    NOT NULL,  -- the name of what decided
    digest         TEXT    NOT NULL,  -- and which code of it
    attempt        INTEGER NOT NULL,  -- from 1
    time           INTEGER NOT NULL,  -- microseconds since 1970-01-01T00:00:00Z
    first_position INTEGER,           -- of the events that were appended
    last_position  INTEGER,
    last_version   INTEGER
) STRICT;

CREATE INDEX conflicts_by_stream ON conflicts (stream);

-- The ids that were proposed where other events were appended, so that the same proposal gets the same result.
CREATE TABLE rewritten_ids (
    id     BLOB    PRIMARY KEY,  -- UUID
    number INTEGER NOT NULL,     -- of the conflict
    place  INTEGER NOT NULL      -- among the proposed events, from 0
) STRICT, WITHOUT ROWID;
