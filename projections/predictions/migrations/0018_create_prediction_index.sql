CREATE TABLE IF NOT EXISTS prediction_index
(
    workspace           LowCardinality(String) COMMENT 'Tenant',
    started_at_ms       Int64                  COMMENT 'Unix ms, clock of the gateway; also the beginning of prediction_id' CODEC(Delta, ZSTD(1)),
    prediction_id       String                 COMMENT 'Made by the gateway, returned to the caller; a shadow pair shares it' CODEC(ZSTD(1)),
    role                LowCardinality(String) COMMENT 'primary, shadow or probe',
    endpoint_id         LowCardinality(String) COMMENT 'Endpoint that was asked',
    endpoint            LowCardinality(String) COMMENT 'Its name at that time',
    deployment_id       LowCardinality(String) COMMENT 'Deployment that answered',
    version_id          LowCardinality(String) COMMENT 'Model version of the deployment',
    version             LowCardinality(String) COMMENT 'The version as people write it: model/number',
    epoch               Int64                  COMMENT 'Stream version of the TrafficShifted event that routed it; -1 unknown' CODEC(Delta, ZSTD(1)),
    region              LowCardinality(String) COMMENT 'Region of the gateway',
    instance            LowCardinality(String) COMMENT 'Engine instance that answered last',
    status              Int16                  COMMENT 'HTTP status; 0 when no answer was sent, -1 unknown' CODEC(ZSTD(1)),
    instance_region     LowCardinality(String) COMMENT 'Region of the instance that answered; empty where none did',
    drawn_deployment_id LowCardinality(String) COMMENT 'Deployment that the split named; another answered where they differ; empty: as deployment_id',
    kafka_partition     UInt16                 COMMENT 'Where it was read from' CODEC(ZSTD(1)),
    kafka_offset        UInt64                 COMMENT 'Where it was read from' CODEC(Delta, ZSTD(1)),
    started_at          DateTime64(3, 'UTC')   ALIAS fromUnixTimestamp64Milli(started_at_ms, 'UTC') COMMENT 'started_at_ms, readable'
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(fromUnixTimestamp64Milli(started_at_ms, 'UTC'))
ORDER BY (workspace, started_at_ms, prediction_id, role)
TTL toDateTime(fromUnixTimestamp64Milli(started_at_ms, 'UTC')) + INTERVAL 400 DAY DELETE
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'What served each prediction, for who-served after its row in request_records expired; read with FINAL'
--;;
-- A statement of a migration has 25 s, so each takes every sixteenth half day, and what it can within 20 s: records that
-- the index lacks are found until they expire.
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 0
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 1
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 2
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 3
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 4
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 5
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 6
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 7
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 8
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 9
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 10
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 11
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 12
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 13
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 14
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
--;;
INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset)
SELECT workspace, started_at_ms, prediction_id, role, endpoint_id, endpoint, deployment_id, version_id, version, epoch, region, instance,
    status, instance_region, drawn_deployment_id, kafka_partition, kafka_offset
FROM request_records WHERE workspace != '' AND prediction_id != '' AND intDiv(ended_at_ms, 43200000) % 16 = 15
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 20, timeout_overflow_mode = 'break'
