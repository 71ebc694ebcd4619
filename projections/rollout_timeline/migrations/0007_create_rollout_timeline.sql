CREATE TABLE IF NOT EXISTS rollout_timeline
(
    workspace        LowCardinality(String) COMMENT 'Tenant',
    rollout_id       String                 COMMENT 'Rollout; empty for facts of the endpoint that name only an epoch',
    endpoint_id      String                 COMMENT 'Endpoint; empty where the event does not name it',
    position         UInt64                 COMMENT 'Place in the log of domain events' CODEC(Delta, ZSTD(1)),
    at               DateTime64(3, 'UTC')   COMMENT 'When it was recorded',
    stream           String                 COMMENT 'Stream of the event',
    stream_version   UInt32                 COMMENT 'Place in that stream',
    type             LowCardinality(String) COMMENT 'Type name of the event',
    step             Nullable(Int32)        COMMENT 'Step of the rollout, counted from 0',
    weight_percent   Nullable(Float64)      COMMENT 'Share of the candidate',
    epoch            Nullable(Int64)        COMMENT 'Stream version of the traffic event',
    summary          String                 COMMENT 'What happened, in one sentence' CODEC(ZSTD(1)),
    reason           String                 COMMENT 'Why, as recorded in the event' CODEC(ZSTD(1)),
    verdicts         String                 COMMENT 'JSON array of the gates'' verdicts; [] where none were made' CODEC(ZSTD(1)),
    kafka_partition  UInt16                 COMMENT 'Where it was read from',
    kafka_offset     UInt64                 COMMENT 'Where it was read from'
)
ENGINE = ReplacingMergeTree
ORDER BY (workspace, rollout_id, position)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What happened to each rollout, and why; read with FINAL';
