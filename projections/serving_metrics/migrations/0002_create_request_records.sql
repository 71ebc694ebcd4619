CREATE TABLE IF NOT EXISTS request_records
(
    prediction_id    String                 COMMENT 'Made by the gateway, returned to the caller; a shadow pair shares it' CODEC(ZSTD(1)),
    workspace        LowCardinality(String) COMMENT 'Tenant; empty where the caller was not known',
    endpoint_id      LowCardinality(String) COMMENT 'Endpoint that was asked; empty where none was found (401, 404, 413)',
    endpoint         LowCardinality(String) COMMENT 'Its name at that time',
    deployment_id    LowCardinality(String) COMMENT 'Deployment that was chosen',
    version_id       LowCardinality(String) COMMENT 'Model version of the deployment',
    version          LowCardinality(String) COMMENT 'The version as people write it: model/number',
    epoch            Int64                  COMMENT 'Stream version of the TrafficShifted event that routed it; -1 unknown' CODEC(Delta, ZSTD(1)),
    role             LowCardinality(String) COMMENT 'primary, shadow or probe; only primary counts in gates',
    region           LowCardinality(String) COMMENT 'Region of the gateway',
    instance         LowCardinality(String) COMMENT 'Engine instance that answered last',
    status           Int16                  COMMENT 'HTTP status; 0 when no answer was sent, -1 unknown',
    response_flags   LowCardinality(String) COMMENT 'Flags of Envoy; empty when nothing went wrong in the gateway',
    attempts         Int16                  COMMENT 'Upstream attempts, retries included',
    started_at_ms    Int64                  COMMENT 'Unix ms, clock of the gateway' CODEC(Delta, ZSTD(1)),
    ended_at_ms      Int64                  COMMENT 'Unix ms, clock of the gateway' CODEC(Delta, ZSTD(1)),
    duration_ms      Float64                COMMENT 'From the first byte of the request to the last of the answer' CODEC(ZSTD(1)),
    upstream_ms      Float64                COMMENT 'Time in the engine; -1 unknown' CODEC(ZSTD(1)),
    request_bytes    Int64                  COMMENT 'Body size' CODEC(T64, ZSTD(1)),
    response_bytes   Int64                  COMMENT 'Body size' CODEC(T64, ZSTD(1)),
    gateway_id       LowCardinality(String) COMMENT 'Boot of the gateway; identity of the row with the next two',
    file_number      Int32                  COMMENT 'Log file of that boot' CODEC(Delta, ZSTD(1)),
    byte_offset      Int64                  COMMENT 'Byte offset in that file' CODEC(Delta, ZSTD(1)),
    source           LowCardinality(String) COMMENT 'Boot of the shipper that sent the batch',
    kafka_partition  UInt16                 COMMENT 'Where it was read from' CODEC(ZSTD(1)),
    kafka_offset     UInt64                 COMMENT 'Where it was read from' CODEC(Delta, ZSTD(1)),
    ingested_at      DateTime64(3, 'UTC')   DEFAULT now64(3, 'UTC') COMMENT 'When it became visible here' CODEC(Delta, ZSTD(1)),
    is_error         UInt8                  MATERIALIZED status <= 0 OR status >= 500 COMMENT 'What the error gate counts: no answer, or 5xx; a 4xx is the caller''s',
    error_class      LowCardinality(String) MATERIALIZED multiIf(
        status >= 200 AND status < 400, '',
        match(response_flags, '(^|,)(UT|SI|UMSDR|DT)(,|$)') OR status = 504, 'timeout',
        match(response_flags, '(^|,)(UF|UH|UC|UR|URX|LR|UO|NC|UPE)(,|$)'), 'connection',
        status <= 0 OR status = 499 OR match(response_flags, '(^|,)(DC|DR)(,|$)'), 'aborted',
        status >= 500, 'engine',
        status >= 400, 'caller',
        'other') COMMENT 'Empty, or timeout, connection, aborted, engine, caller, other',
    prediction_hash  UInt64                 MATERIALIZED sipHash64(prediction_id) COMMENT 'Short form of prediction_id for joins',
    started_at       DateTime64(3, 'UTC')   ALIAS fromUnixTimestamp64Milli(started_at_ms, 'UTC') COMMENT 'started_at_ms, readable',
    ended_at         DateTime64(3, 'UTC')   ALIAS fromUnixTimestamp64Milli(ended_at_ms, 'UTC') COMMENT 'ended_at_ms, readable',
    INDEX by_prediction prediction_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_start started_at_ms TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(fromUnixTimestamp64Milli(ended_at_ms, 'UTC'))
ORDER BY (workspace, endpoint_id, epoch, ended_at_ms, gateway_id, file_number, byte_offset)
TTL toDateTime(fromUnixTimestamp64Milli(ended_at_ms, 'UTC')) + INTERVAL 7 DAY DELETE
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'One row for every request that reached the gateway; never sampled. Shipped again = same identity: FINAL is exact';
