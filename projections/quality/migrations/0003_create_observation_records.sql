CREATE TABLE IF NOT EXISTS observation_records
(
    prediction_id    String                 COMMENT 'Joins to request_records and feedback' CODEC(ZSTD(1)),
    workspace        LowCardinality(String) COMMENT 'Tenant',
    endpoint_id      LowCardinality(String) COMMENT 'Endpoint that was asked',
    deployment_id    LowCardinality(String) COMMENT 'Deployment that answered',
    version_id       LowCardinality(String) COMMENT 'Model version that answered',
    instance_id      LowCardinality(String) COMMENT 'Engine instance that answered',
    captured_at_ms   Int64                  COMMENT 'Unix ms, clock of the engine' CODEC(Delta, ZSTD(1)),
    status           Int16                  COMMENT 'HTTP status of the engine',
    inputs           String                 COMMENT 'JSON, after the capture policy' CODEC(ZSTD(3)),
    outputs          String                 COMMENT 'JSON, after the capture policy' CODEC(ZSTD(3)),
    prediction       String                 COMMENT 'First value of the first output, as text; feedback is compared with it' CODEC(ZSTD(1)),
    engine_ms        Float64                COMMENT 'Time in the engine' CODEC(ZSTD(1)),
    boot_id          LowCardinality(String) COMMENT 'Boot of the instance; identity of the row with the next two',
    batch            Int64                  COMMENT 'Batch of that boot' CODEC(Delta, ZSTD(1)),
    row              Int32                  COMMENT 'Row in that batch' CODEC(Delta, ZSTD(1)),
    source           LowCardinality(String) COMMENT 'Source that shipped the batch',
    kafka_partition  UInt16                 COMMENT 'Where it was read from' CODEC(ZSTD(1)),
    kafka_offset     UInt64                 COMMENT 'Where it was read from' CODEC(Delta, ZSTD(1)),
    ingested_at      DateTime64(3, 'UTC')   DEFAULT now64(3, 'UTC') COMMENT 'When it became visible here' CODEC(Delta, ZSTD(1)),
    prediction_hash  UInt64                 MATERIALIZED sipHash64(prediction_id) COMMENT 'Short form of prediction_id for joins',
    predicted_at_ms  Int64                  MATERIALIZED toInt64OrZero(substring(prediction_id, 1, 13)) COMMENT 'Start of the request, from the prediction id' CODEC(Delta, ZSTD(1)),
    answer           String                 MATERIALIZED multiIf(
        toInt64OrNull(trimBoth(prediction)) IS NOT NULL, toString(toInt64OrNull(trimBoth(prediction))),
        toFloat64OrNull(trimBoth(prediction)) IS NOT NULL, toString(toFloat64OrNull(trimBoth(prediction))),
        lower(trimBoth(prediction)) IN ('true', 'false'), lower(trimBoth(prediction)),
        trimBoth(prediction)) COMMENT 'prediction with numbers in one spelling (3.0 is 3)',
    answer_hash      UInt64                 MATERIALIZED sipHash64(answer) COMMENT 'Short form of answer for comparisons',
    captured_at      DateTime64(3, 'UTC')   ALIAS fromUnixTimestamp64Milli(captured_at_ms, 'UTC') COMMENT 'captured_at_ms, readable'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(fromUnixTimestamp64Milli(captured_at_ms, 'UTC'))
ORDER BY (workspace, endpoint_id, predicted_at_ms, prediction_id, boot_id, batch, row)
TTL toDateTime(fromUnixTimestamp64Milli(captured_at_ms, 'UTC')) + INTERVAL 7 DAY DELETE
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'Captured inputs and outputs of engines; may be sampled or filtered. Shipped again = same identity: FINAL is exact';
