ALTER TABLE label_rollups
    ADD COLUMN IF NOT EXISTS unreadable UInt64 DEFAULT 0 COMMENT 'Primary requests like the labelled ones, but what was told is no value of the data type of the answer' AFTER wrong
