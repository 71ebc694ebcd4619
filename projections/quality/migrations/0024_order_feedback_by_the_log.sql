ALTER TABLE feedback
    ADD COLUMN IF NOT EXISTS kafka_generation UInt16 DEFAULT 0 COMMENT 'How often the topic had been made anew: its offsets begin again each time' CODEC(ZSTD(1)) AFTER received_at_ms
--;;
-- Rows of before are ordered by when the API received them, so by smaller numbers, and the log has them earlier.
ALTER TABLE feedback
    MODIFY COLUMN recency UInt64 MATERIALIZED bitShiftLeft(toUInt64(1), 63) + bitShiftLeft(toUInt64(kafka_generation), 48) + kafka_offset COMMENT 'Orders what was said of one prediction, as the log does'
--;;
ALTER TABLE feedback
    MODIFY COMMENT 'Labels, ratings and outcomes; key (prediction_id, source, name), the last one in the log wins: FINAL is exact'
