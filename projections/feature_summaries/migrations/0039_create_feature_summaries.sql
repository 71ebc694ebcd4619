-- A row has some hundred bins, and a query reads a few features in a few minutes: a granule of the usual size would be megabytes.
CREATE TABLE IF NOT EXISTS feature_summaries
(
    workspace        String              COMMENT 'Tenant',
    endpoint_id      String              COMMENT 'Endpoint that was asked',
    deployment_id    String              COMMENT 'Deployment that answered',
    version_id       String              COMMENT 'Model version that answered',
    minute_ms        Int64               COMMENT 'Beginning of the minute in which the requests were captured, Unix ms, clock of the engine' CODEC(Delta, ZSTD(1)),
    feature          String              COMMENT 'input.<tensor>, input.<tensor>[column], output.…, derived ones after ~, tokens.in, tokens.out, finish_reason, status' CODEC(ZSTD(1)),
    kind             String              COMMENT 'number or category',
    values           UInt64              COMMENT 'Finite numbers, or texts; of status, requests' CODEC(ZSTD(1)),
    missing          UInt64              COMMENT 'Nulls' CODEC(ZSTD(1)),
    infinite         UInt64              COMMENT 'Infinities, which are in no sum and no bin' CODEC(ZSTD(1)),
    unreadable       UInt64              COMMENT 'What is no value of its type, and rows of a wrong length; of status, inputs and outputs that are no tensors' CODEC(ZSTD(1)),
    cut              UInt64              COMMENT 'Values that the capture policy cut off; of status, features beyond the 512 that are stored' CODEC(ZSTD(1)),
    sum_of_values    Float64             COMMENT 'Of numbers' CODEC(ZSTD(1)),
    sum_of_squares   Float64             COMMENT 'Of numbers' CODEC(ZSTD(1)),
    minimum          Float64             COMMENT 'Of numbers; inf without any' CODEC(ZSTD(1)),
    maximum          Float64             COMMENT 'Of numbers; -inf without any' CODEC(ZSTD(1)),
    bins             Map(Int32, UInt32)  COMMENT 'Numbers by the first bits of their IEEE-754 form, 1,024 bins an octave, in their order (infra/value_bins.py)' CODEC(ZSTD(1)),
    categories       Map(String, UInt32) COMMENT 'Texts of at most 64 characters, truth values and statuses; of more than 256, those with the smallest (CRC32, text). Other values are in none' CODEC(ZSTD(1)) TTL toDateTime(fromUnixTimestamp64Milli(minute_ms, 'UTC')) + toIntervalDay(category_days),
    category_days    Int32               COMMENT 'Days after which categories are deleted: of texts, those of the capture policy' CODEC(ZSTD(1)),
    boot_id          String              COMMENT 'Boot of the instance; identity of the row with the next one and its scope' CODEC(ZSTD(1)),
    batch            Int64               COMMENT 'Batch of that boot' CODEC(Delta, ZSTD(1)),
    source           String              COMMENT 'Source that shipped the batch' CODEC(ZSTD(1)),
    kafka_partition  UInt16              COMMENT 'Where it was read from' CODEC(ZSTD(1)),
    kafka_offset     UInt64              COMMENT 'Where it was read from' CODEC(Delta, ZSTD(1)),
    minute           DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(minute_ms, 'UTC') COMMENT 'minute_ms, readable'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(fromUnixTimestamp64Milli(minute_ms, 'UTC'))
ORDER BY (workspace, endpoint_id, feature, kind, minute_ms, deployment_id, version_id, boot_id, batch)
TTL toDateTime(fromUnixTimestamp64Milli(minute_ms, 'UTC')) + INTERVAL 35 DAY DELETE
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 1024
COMMENT 'Summaries of captured inputs and outputs by minute, one row a feature and batch: add them up, reading with FINAL';
