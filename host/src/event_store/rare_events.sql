-- Sealed events of kinds that are rare in their segment, once more as rows, so that who wants only these need not unpack
-- it. Segments that were sealed before this have none.

CREATE TABLE rare_events (
    position       INTEGER PRIMARY KEY,
    stream_id      INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    kind_id        INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    id             BLOB    NOT NULL,
    time           INTEGER NOT NULL,
    data           ANY     NOT NULL,
    metadata       TEXT    NOT NULL,
    checksum       INTEGER NOT NULL
) STRICT;

CREATE INDEX rare_events_by_kind ON rare_events (kind_id);

ALTER TABLE segment_kinds ADD COLUMN copies INTEGER NOT NULL DEFAULT 0;  -- in rare_events: all of the kind's events, or 0
