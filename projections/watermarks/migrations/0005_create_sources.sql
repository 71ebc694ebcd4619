CREATE TABLE IF NOT EXISTS sources
(
    kind             LowCardinality(String)                 COMMENT 'requests or observations',
    source           String                                 COMMENT 'One boot of one shipper or engine',
    region           LowCardinality(String)                 COMMENT 'Where it runs',
    batch            SimpleAggregateFunction(max, Int64)    COMMENT 'Its latest batch; batches count from 0, empty ones included',
    rows             SimpleAggregateFunction(max, Int64)    COMMENT 'Rows of its largest batch',
    closed_until_ms  SimpleAggregateFunction(max, Int64)    COMMENT 'Every row that ended before this Unix ms was in that batch or an earlier one',
    is_closing       SimpleAggregateFunction(max, UInt8)    COMMENT '1 once it sent its last batch',
    first_seen_ms    SimpleAggregateFunction(min, Int64)    COMMENT 'Kafka time of its earliest batch, Unix ms',
    last_seen_ms     SimpleAggregateFunction(max, Int64)    COMMENT 'Kafka time of its latest batch, Unix ms',
    updated_at       SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT now64(3, 'UTC') COMMENT 'When that became visible here'
)
ENGINE = AggregatingMergeTree
ORDER BY (kind, source, region)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'How far each source of the data plane has told everything: what watermarks are made of. Written after the rows; every column folds by min or max, so order and repetition do not matter; read with FINAL';
