CREATE TABLE IF NOT EXISTS feedback
(
    workspace        LowCardinality(String) COMMENT 'Tenant',
    prediction_id    String                 COMMENT 'Prediction that became known better' CODEC(ZSTD(1)),
    source           LowCardinality(String) COMMENT 'Who says so',
    name             LowCardinality(String) COMMENT 'What is said: label, rating, …',
    value            String                 COMMENT 'As text' CODEC(ZSTD(1)),
    observed_at_ms   Int64                  COMMENT 'When it became known, Unix ms' CODEC(Delta, ZSTD(1)),
    received_at_ms   Int64                  COMMENT 'When the feedback API took it, Unix ms; the last one wins' CODEC(Delta, ZSTD(1)),
    kafka_partition  UInt16                 COMMENT 'Where it was read from' CODEC(ZSTD(1)),
    kafka_offset     UInt64                 COMMENT 'Where it was read from' CODEC(Delta, ZSTD(1)),
    ingested_at      DateTime64(3, 'UTC')   DEFAULT now64(3, 'UTC') COMMENT 'When it became visible here' CODEC(Delta, ZSTD(1)),
    prediction_hash  UInt64                 MATERIALIZED sipHash64(prediction_id) COMMENT 'Short form of prediction_id for joins',
    predicted_at_ms  Int64                  MATERIALIZED toInt64OrZero(substring(prediction_id, 1, 13)) COMMENT 'Start of the request, from the prediction id' CODEC(Delta, ZSTD(1)),
    truth            String                 MATERIALIZED multiIf(
        toInt64OrNull(trimBoth(value)) IS NOT NULL, toString(toInt64OrNull(trimBoth(value))),
        toFloat64OrNull(trimBoth(value)) IS NOT NULL, toString(toFloat64OrNull(trimBoth(value))),
        lower(trimBoth(value)) IN ('true', 'false'), lower(trimBoth(value)),
        trimBoth(value)) COMMENT 'value with numbers in one spelling (3.0 is 3)',
    truth_hash       UInt64                 MATERIALIZED sipHash64(truth) COMMENT 'Short form of truth for comparisons',
    recency          UInt64                 MATERIALIZED toUInt64(received_at_ms) * 1000000 + kafka_offset % 1000000 COMMENT 'Orders rows of one key: received_at_ms, then log order',
    received_at      DateTime64(3, 'UTC')   ALIAS fromUnixTimestamp64Milli(received_at_ms, 'UTC') COMMENT 'received_at_ms, readable'
)
ENGINE = ReplacingMergeTree(recency)
ORDER BY (workspace, predicted_at_ms, prediction_id, name, source)
TTL toDateTime(fromUnixTimestamp64Milli(received_at_ms, 'UTC')) + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Labels, ratings and outcomes; key (prediction_id, source, name), the last one received wins: FINAL is exact';
