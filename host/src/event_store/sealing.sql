-- Sealed events: the oldest events, packed. One transaction adds their segment, removes their rows and moves `sealed`.

ALTER TABLE log ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;  -- position of the newest sealed event

CREATE TABLE segments (
    first_position INTEGER PRIMARY KEY,  -- the next segment begins where this one ends
    events         INTEGER NOT NULL,     -- how many
    chain_before   INTEGER NOT NULL,     -- of the event before the first
    chain          INTEGER NOT NULL,     -- of the last event
    checksum       INTEGER NOT NULL,     -- over everything here, the blobs as they are when unpacked
    numbers        BLOB    NOT NULL,     -- zstd; see segment.rs
    text           BLOB    NOT NULL      -- zstd; see segment.rs
) STRICT;

-- In which segments a kind occurs.
CREATE TABLE segment_kinds (
    kind_id        INTEGER NOT NULL,
    first_position INTEGER NOT NULL,
    PRIMARY KEY (kind_id, first_position)
) STRICT, WITHOUT ROWID;

-- In which segment the events of a stream are, and an id; see packed_index.rs.
CREATE TABLE segment_index (
    map     INTEGER NOT NULL,  -- 1: streams, 2: ids
    a       INTEGER NOT NULL,
    b       INTEGER NOT NULL,
    entries BLOB    NOT NULL,  -- sorted; those from (a, b) up to the next row
    PRIMARY KEY (map, a, b)
) STRICT, WITHOUT ROWID;
