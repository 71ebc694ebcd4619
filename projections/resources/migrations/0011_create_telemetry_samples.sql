CREATE TABLE IF NOT EXISTS telemetry_samples
(
    workspace       LowCardinality(String) COMMENT 'Tenant of an instance; empty for hosts and gateways',
    endpoint_id     LowCardinality(String) COMMENT 'Endpoint of an instance',
    deployment_id   LowCardinality(String) COMMENT 'Deployment of an instance',
    subject         LowCardinality(String) COMMENT 'instance, host or gateway',
    subject_id      LowCardinality(String) COMMENT 'Which one',
    boot_id         LowCardinality(String) COMMENT 'Its process; counters begin anew with each',
    region          LowCardinality(String) COMMENT 'Where it is',
    sampled_at_ms   Int64                  COMMENT 'Unix ms, clock of the host' CODEC(Delta, ZSTD(1)),
    measure         LowCardinality(String) COMMENT 'What was measured; what was not has no row',
    value           Float64                COMMENT 'In the unit that the name of the measure says' CODEC(Gorilla, ZSTD(1)),
    source_id       LowCardinality(String) COMMENT 'Boot of who sampled; identity of the row with the next two',
    batch           Int64                  COMMENT 'Batch of that boot' CODEC(Delta, ZSTD(1)),
    row             Int32                  COMMENT 'Row in that batch' CODEC(Delta, ZSTD(1)),
    source          LowCardinality(String) COMMENT 'Source that shipped the batch',
    kafka_partition UInt16                 COMMENT 'Where it was read from' CODEC(ZSTD(1)),
    kafka_offset    UInt64                 COMMENT 'Where it was read from' CODEC(Delta, ZSTD(1)),
    ingested_at     DateTime64(3, 'UTC')   DEFAULT now64(3, 'UTC') COMMENT 'When it became visible here' CODEC(Delta, ZSTD(1)),
    sampled_at      DateTime64(3, 'UTC')   ALIAS fromUnixTimestamp64Milli(sampled_at_ms, 'UTC') COMMENT 'sampled_at_ms, readable'
)
ENGINE = ReplacingMergeTree
PARTITION BY toStartOfInterval(fromUnixTimestamp64Milli(sampled_at_ms, 'UTC'), INTERVAL 6 HOUR)
ORDER BY (workspace, endpoint_id, subject, subject_id, measure, sampled_at_ms, source_id, batch, row)
TTL toDateTime(fromUnixTimestamp64Milli(sampled_at_ms, 'UTC')) + INTERVAL 48 HOUR DELETE
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'What instances, hosts and gateways use and have in hand, sampled every few seconds. Shipped again = same identity: FINAL is exact';
