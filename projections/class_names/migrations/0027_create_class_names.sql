CREATE TABLE IF NOT EXISTS class_names
(
    workspace        LowCardinality(String) COMMENT 'Tenant',
    version_id       String                 COMMENT 'Model version, the stream of the event',
    classes          Array(String)          COMMENT 'The names of the classes of its first output, by index' CODEC(ZSTD(1)),
    kafka_partition  UInt16                 COMMENT 'Where it was read from',
    kafka_offset     UInt64                 COMMENT 'Where it was read from'
)
ENGINE = ReplacingMergeTree
ORDER BY (workspace, version_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'The classes of the versions that name them; read with FINAL'
--;;
INSERT INTO class_names (workspace, version_id, classes, kafka_partition, kafka_offset)
SELECT workspace, stream, JSONExtract(event, 'data', 'signature', 'outputs', 1, 'classes', 'Array(String)') AS named, kafka_partition, kafka_offset
FROM domain_events WHERE type = 'registry.ModelVersionRegistered.v1' AND notEmpty(named)
