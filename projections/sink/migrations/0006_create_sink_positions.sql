CREATE TABLE IF NOT EXISTS sink_positions
(
    topic              LowCardinality(String) COMMENT 'Kafka topic',
    partition          UInt16                 COMMENT 'Kafka partition',
    first_offset       UInt64                 COMMENT 'The batch being inserted; everything before it is in the tables',
    last_offset        UInt64                 COMMENT 'Its end; a restart replays exactly first..last under the same insert token',
    last_timestamp_ms  Int64                  COMMENT 'Kafka time of the message at last_offset; tells a recreated topic from this one',
    written_at_ms      UInt64                 COMMENT 'When the sink began the batch; the latest wins'
)
ENGINE = ReplacingMergeTree(written_at_ms)
ORDER BY (topic, partition)
COMMENT 'Written before each batch, so that a batch cut short by a crash is repeated exactly';
