CREATE TABLE IF NOT EXISTS downtime
(
    workspace        String                           COMMENT 'Tenant',
    endpoint_id      String                           COMMENT 'Endpoint',
    maintenance_id   String                           COMMENT 'Maintenance, the stream of the event',
    position         UInt64                           COMMENT 'Place in the log of domain events' CODEC(Delta, ZSTD(1)),
    begun_at         Nullable(DateTime64(3, 'UTC'))   COMMENT 'When it went out of service; null where the event ended it',
    ended_at         Nullable(DateTime64(3, 'UTC'))   COMMENT 'When it came back; null where the event began it',
    kafka_partition  UInt16                           COMMENT 'Where it was read from',
    kafka_offset     UInt64                           COMMENT 'Where it was read from'
)
ENGINE = ReplacingMergeTree
ORDER BY (workspace, endpoint_id, maintenance_id, position)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'When each endpoint was out of service on purpose; read with FINAL';
