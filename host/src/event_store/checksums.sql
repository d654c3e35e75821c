-- Checksums over bytes that no other checksum covers. What was written before this has none.

ALTER TABLE segment_index ADD COLUMN checksum INTEGER;        -- over map, a, b and entries
ALTER TABLE segments      ADD COLUMN packed_checksum INTEGER; -- over the blobs as they are: zstd overlooks some bits
