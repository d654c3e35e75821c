-- A checksum for each decision on a conflict. Those of before have none.

ALTER TABLE conflicts ADD COLUMN checksum INTEGER;  -- over all columns but `number`, in their order
