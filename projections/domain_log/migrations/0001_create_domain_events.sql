CREATE TABLE IF NOT EXISTS domain_events
(
    position         UInt64                 COMMENT 'Place in the one log of all domain events; strictly increasing, gaps allowed' CODEC(Delta, ZSTD(1)),
    event_id         String                 COMMENT 'Identity of the event',
    type             LowCardinality(String) COMMENT 'Fixed type name, feature.Event.vN',
    workspace        LowCardinality(String) COMMENT 'Tenant',
    stream           String                 COMMENT 'Id of the thing this is a fact about',
    stream_version   UInt32                 COMMENT 'Place in its stream, counted from 1; the epoch, where the event sets traffic',
    at               DateTime64(3, 'UTC')   COMMENT 'When it was recorded',
    actor            String                 COMMENT 'Opaque id of the principal who caused it',
    correlation_id   String                 COMMENT 'Shared by everything one request brought about',
    causation_id     String                 COMMENT 'The event or command it directly follows from',
    command_id       String                 COMMENT 'The command that recorded it',
    event            String                 COMMENT 'The canonical bytes: CloudEvents JSON, exactly as stored and hashed' CODEC(ZSTD(3)),
    kafka_partition  UInt16                 COMMENT 'Where it was read from',
    kafka_offset     UInt64                 COMMENT 'Where it was read from',
    INDEX by_stream stream TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY position
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Every domain event, one row each; read with FINAL';
