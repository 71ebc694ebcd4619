ALTER TABLE request_records
    ADD COLUMN IF NOT EXISTS kind LowCardinality(String) DEFAULT '' COMMENT 'What was asked for: prediction, metadata, health or other; only predictions count in gates and metrics; empty: not known, counts as a prediction'
