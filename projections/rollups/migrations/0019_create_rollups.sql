CREATE TABLE IF NOT EXISTS rollup_arrivals
(
    kind       LowCardinality(String) COMMENT 'What is rolled up: requests by the minute in which they ended, predictions by the one in which they began',
    minute_ms  Int64                  COMMENT 'Beginning of the minute, Unix ms',
    rows       UInt64                 COMMENT 'Rows that were inserted into the tables that its roll-ups are made of, repeats included'
)
ENGINE = SummingMergeTree(rows)
ORDER BY (kind, minute_ms)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'How much arrived of each minute: one whose number is not that in rollup_spans is rolled up again; read with sum and GROUP BY'
--;;
CREATE TABLE IF NOT EXISTS rollup_spans
(
    kind       LowCardinality(String) COMMENT 'As in rollup_arrivals',
    span_ms    UInt32                 COMMENT 'Length of the span: a minute, an hour or a day',
    start_ms   Int64                  COMMENT 'Its beginning, Unix ms',
    from_rows  UInt64                 COMMENT 'Arrivals that were known before it was rolled up'
)
ENGINE = ReplacingMergeTree(from_rows)
ORDER BY (kind, span_ms, start_ms)
COMMENT 'The spans that are rolled up, and from how much; read with FINAL'
--;;
CREATE TABLE IF NOT EXISTS rollup_progress
(
    kind      LowCardinality(String)              COMMENT 'As in rollup_arrivals',
    span_ms   UInt32                              COMMENT 'Length of the spans',
    until_ms  SimpleAggregateFunction(max, Int64) COMMENT 'Every span that ends until then is rolled up, Unix ms; what is later is read from the rows'
)
ENGINE = AggregatingMergeTree
ORDER BY (kind, span_ms)
COMMENT 'Up to when spans are rolled up; read with max and GROUP BY'
--;;
-- A row has some hundred numbers, and few rows are read: a granule of the usual size would be megabytes.
CREATE TABLE IF NOT EXISTS request_rollups
(
    workspace            LowCardinality(String)              COMMENT 'Tenant',
    endpoint_id          LowCardinality(String)              COMMENT 'Endpoint that was asked',
    epoch                Int64                               COMMENT 'Stream version of the TrafficShifted event that routed the requests; -1 unknown' CODEC(Delta, ZSTD(1)),
    span_ms              UInt32                              COMMENT 'Length of the span: a minute, an hour or a day',
    start_ms             Int64                               COMMENT 'Its beginning, Unix ms; a request belongs to the span in which it ended' CODEC(Delta, ZSTD(1)),
    drawn_deployment_id  LowCardinality(String)              COMMENT 'Deployment that the split named',
    deployment_id        LowCardinality(String)              COMMENT 'Deployment that answered; a backup where they differ',
    version              LowCardinality(String)              COMMENT 'Its version as people write it: model/number',
    requests             UInt64                              COMMENT 'Primary requests',
    errors               UInt64                              COMMENT 'Those of them that is_error is of',
    error_classes        Map(LowCardinality(String), UInt64) COMMENT 'Requests by error_class',
    durations_ms         Map(Float64, UInt64)                COMMENT 'Requests by duration, which is kept with 8 significant bits, towards zero' CODEC(ZSTD(1)),
    rank                 UInt128                             COMMENT 'Of two rows of one key the higher one is true: arrivals it is made of' CODEC(ZSTD(1)),
    start                DateTime64(3, 'UTC')                ALIAS fromUnixTimestamp64Milli(start_ms, 'UTC') COMMENT 'start_ms, readable'
)
ENGINE = ReplacingMergeTree(rank)
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(start_ms, 'UTC'))
ORDER BY (workspace, endpoint_id, epoch, span_ms, start_ms, drawn_deployment_id, deployment_id)
TTL toDateTime(fromUnixTimestamp64Milli(start_ms, 'UTC')) + INTERVAL 400 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, index_granularity = 128
COMMENT 'Requests of each deployment under each epoch by minute, hour and day, for longer than request_records; choose one span_ms; read with FINAL'
--;;
CREATE TABLE IF NOT EXISTS answer_rollups
(
    workspace       LowCardinality(String)              COMMENT 'Tenant',
    endpoint_id     LowCardinality(String)              COMMENT 'Endpoint that was asked',
    epoch           Int64                               COMMENT 'Stream version of the TrafficShifted event that routed the requests; -1 unknown' CODEC(Delta, ZSTD(1)),
    span_ms         UInt32                              COMMENT 'Length of the span: a minute, an hour or a day',
    start_ms        Int64                               COMMENT 'Its beginning, Unix ms; an answer belongs to the span in which its request began' CODEC(Delta, ZSTD(1)),
    deployment_id   LowCardinality(String)              COMMENT 'Deployment that answered',
    answers         UInt64                              COMMENT 'Captured answers of language models to primary requests',
    first_token_ms  Map(Float64, UInt64)                COMMENT 'Streams by the time to their first token, with 8 significant bits, towards zero' CODEC(ZSTD(1)),
    token_ms        Map(Float64, UInt64)                COMMENT 'Streams by the time between two tokens, likewise' CODEC(ZSTD(1)),
    tokens_out      Map(Float64, UInt64)                COMMENT 'Answers by their tokens, likewise' CODEC(ZSTD(1)),
    finish_reasons  Map(LowCardinality(String), UInt64) COMMENT 'Answers by how they ended',
    rank            UInt128                             COMMENT 'Of two rows of one key the higher one is true: answers, then arrivals it is made of' CODEC(ZSTD(1)),
    start           DateTime64(3, 'UTC')                ALIAS fromUnixTimestamp64Milli(start_ms, 'UTC') COMMENT 'start_ms, readable'
)
ENGINE = ReplacingMergeTree(rank)
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(start_ms, 'UTC'))
ORDER BY (workspace, endpoint_id, epoch, span_ms, start_ms, deployment_id)
TTL toDateTime(fromUnixTimestamp64Milli(start_ms, 'UTC')) + INTERVAL 400 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, index_granularity = 128
COMMENT 'Answers of language models by minute, hour and day, for longer than observation_records; choose one span_ms; read with FINAL'
--;;
CREATE TABLE IF NOT EXISTS label_rollups
(
    workspace      LowCardinality(String) COMMENT 'Tenant',
    endpoint_id    LowCardinality(String) COMMENT 'Endpoint that was asked',
    epoch          Int64                  COMMENT 'Stream version of the TrafficShifted event that routed the requests; -1 unknown' CODEC(Delta, ZSTD(1)),
    span_ms        UInt32                 COMMENT 'Length of the span: a minute, an hour or a day',
    start_ms       Int64                  COMMENT 'Its beginning, Unix ms; a label belongs to the span in which its request began' CODEC(Delta, ZSTD(1)),
    deployment_id  LowCardinality(String) COMMENT 'Deployment that answered',
    name           LowCardinality(String) COMMENT 'Name of the feedback',
    version        LowCardinality(String) COMMENT 'The version that answered, as people write it: model/number',
    labelled       UInt64                 COMMENT 'Primary requests whose answer was captured, and of which the truth was told',
    wrong          UInt64                 COMMENT 'Those of them whose answer is not the truth, by the last word on it',
    rank           UInt128                COMMENT 'Of two rows of one key the higher one is true: labels, then arrivals it is made of' CODEC(ZSTD(1)),
    start          DateTime64(3, 'UTC')   ALIAS fromUnixTimestamp64Milli(start_ms, 'UTC') COMMENT 'start_ms, readable'
)
ENGINE = ReplacingMergeTree(rank)
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(start_ms, 'UTC'))
ORDER BY (workspace, endpoint_id, epoch, span_ms, start_ms, deployment_id, name)
TTL toDateTime(fromUnixTimestamp64Milli(start_ms, 'UTC')) + INTERVAL 400 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, index_granularity = 128
COMMENT 'How often answers were right by minute, hour and day, for longer than what it is made of; choose one span_ms; read with FINAL'
--;;
CREATE TABLE IF NOT EXISTS score_rollups
(
    workspace      LowCardinality(String) COMMENT 'Tenant',
    endpoint_id    LowCardinality(String) COMMENT 'Endpoint that was asked',
    epoch          Int64                  COMMENT 'Stream version of the TrafficShifted event that routed the requests; -1 unknown' CODEC(Delta, ZSTD(1)),
    span_ms        UInt32                 COMMENT 'Length of the span: a minute, an hour or a day',
    start_ms       Int64                  COMMENT 'Its beginning, Unix ms; a number belongs to the span in which its request began' CODEC(Delta, ZSTD(1)),
    deployment_id  LowCardinality(String) COMMENT 'Deployment that answered',
    name           LowCardinality(String) COMMENT 'Name of the feedback',
    told           UInt64                 COMMENT 'Primary requests of which something was told under this name',
    scored         UInt64                 COMMENT 'Those of them of which the last word is a number',
    numbers        Map(Float64, UInt64)   COMMENT 'Requests by that number, with 8 significant bits, towards zero' CODEC(ZSTD(1)),
    rank           UInt128                COMMENT 'Of two rows of one key the higher one is true: told, then arrivals it is made of' CODEC(ZSTD(1)),
    start          DateTime64(3, 'UTC')   ALIAS fromUnixTimestamp64Milli(start_ms, 'UTC') COMMENT 'start_ms, readable'
)
ENGINE = ReplacingMergeTree(rank)
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(start_ms, 'UTC'))
ORDER BY (workspace, endpoint_id, epoch, span_ms, start_ms, deployment_id, name)
TTL toDateTime(fromUnixTimestamp64Milli(start_ms, 'UTC')) + INTERVAL 400 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, index_granularity = 128
COMMENT 'Losses, ratings and other numbers told of requests by minute, hour and day; choose one span_ms; read with FINAL'
--;;
-- What is there already has arrived, too.
INSERT INTO rollup_arrivals (kind, minute_ms, rows)
SELECT 'requests', intDiv(ended_at_ms, 60000) * 60000 AS minute_ms, count() FROM request_records GROUP BY minute_ms
--;;
INSERT INTO rollup_arrivals (kind, minute_ms, rows)
SELECT 'predictions', intDiv(started_at_ms, 60000) * 60000 AS minute_ms, count() FROM request_records GROUP BY minute_ms
