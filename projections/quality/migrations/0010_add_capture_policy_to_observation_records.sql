ALTER TABLE observation_records
    ADD COLUMN IF NOT EXISTS policy_version Int64 DEFAULT 0 COMMENT 'Stream version of the event that set the capture policy, 0 the usual one' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS retention_days Int32 DEFAULT 7 COMMENT 'Days after which the row is deleted, by that policy' CODEC(ZSTD(1))
--;;
ALTER TABLE observation_records MODIFY SETTING ttl_only_drop_parts = 0
--;;
ALTER TABLE observation_records
    MODIFY TTL toDateTime(fromUnixTimestamp64Milli(captured_at_ms, 'UTC')) + toIntervalDay(retention_days) DELETE
--;;
ALTER TABLE sources
    ADD COLUMN IF NOT EXISTS seen      SimpleAggregateFunction(max, Int64) COMMENT 'Predictions until closed_until_ms, captured or not' AFTER last_seen_ms,
    ADD COLUMN IF NOT EXISTS unsampled SimpleAggregateFunction(max, Int64) COMMENT 'Those of them that the sampling rate left out' AFTER seen
