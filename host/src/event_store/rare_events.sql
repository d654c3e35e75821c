-- Sealed events of kinds that are rare in their segment, once more as rows, so that it need not be unpacked for them.
-- What was sealed before this has none.

CREATE TABLE rare_events (
    kind_id        INTEGER NOT NULL,
    position       INTEGER NOT NULL,
    stream         TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    id             BLOB    NOT NULL,
    time           INTEGER NOT NULL,
    data           ANY     NOT NULL,
    metadata       TEXT    NOT NULL,
    checksum       INTEGER NOT NULL,
    PRIMARY KEY (kind_id, position)
) STRICT, WITHOUT ROWID;

ALTER TABLE segment_kinds ADD COLUMN copies INTEGER NOT NULL DEFAULT 0;  -- of all its events of the kind, or 0
