CREATE TABLE IF NOT EXISTS feedback_history
(
    workspace         LowCardinality(String) COMMENT 'Tenant',
    prediction_id     String                 COMMENT 'Prediction that became known better' CODEC(ZSTD(1)),
    source            LowCardinality(String) COMMENT 'Who says so',
    name              LowCardinality(String) COMMENT 'What is said: label, rating, …',
    value             String                 COMMENT 'As text' CODEC(ZSTD(1)),
    observed_at_ms    Int64                  COMMENT 'When it became known, Unix ms' CODEC(Delta, ZSTD(1)),
    received_at_ms    Int64                  COMMENT 'When the feedback API took it, Unix ms' CODEC(Delta, ZSTD(1)),
    kafka_generation  UInt16                 COMMENT 'How often the topic had been made anew: its offsets begin again each time' CODEC(ZSTD(1)),
    kafka_partition   UInt16                 COMMENT 'Where it was read from' CODEC(ZSTD(1)),
    kafka_offset      UInt64                 COMMENT 'Where it was read from' CODEC(Delta, ZSTD(1)),
    ingested_at       DateTime64(3, 'UTC')   DEFAULT now64(3, 'UTC') COMMENT 'When it became visible here' CODEC(Delta, ZSTD(1)),
    predicted_at_ms   Int64                  MATERIALIZED toInt64OrZero(substring(prediction_id, 1, 13)) COMMENT 'Start of the request, from the prediction id' CODEC(Delta, ZSTD(1)),
    place             UInt64                 MATERIALIZED bitShiftLeft(toUInt64(kafka_generation), 48) + kafka_offset COMMENT 'Orders what was said of one prediction, as the log does',
    received_at       DateTime64(3, 'UTC')   ALIAS fromUnixTimestamp64Milli(received_at_ms, 'UTC') COMMENT 'received_at_ms, readable'
)
ENGINE = ReplacingMergeTree
ORDER BY (workspace, predicted_at_ms, prediction_id, name, source, kafka_generation, kafka_partition, kafka_offset)
TTL toDateTime(fromUnixTimestamp64Milli(received_at_ms, 'UTC')) + INTERVAL 30 DAY DELETE
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'All that was ever said of predictions, in the order of the log; feedback has the last of it; read with FINAL'
--;;
INSERT INTO feedback_history (workspace, prediction_id, source, name, value, observed_at_ms, received_at_ms, kafka_generation, kafka_partition, kafka_offset)
SELECT workspace, prediction_id, source, name, value, observed_at_ms, received_at_ms, kafka_generation, kafka_partition, kafka_offset FROM feedback
