ALTER TABLE observation_records
    ADD COLUMN IF NOT EXISTS tokens_in      Int64                  DEFAULT -1 COMMENT 'Tokens of the prompt, -1 unknown' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tokens_out     Int64                  DEFAULT -1 COMMENT 'Tokens of the answer, -1 unknown' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS first_token_ms Float64                DEFAULT -1 COMMENT 'Until the first token of a stream, -1 unknown' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS token_ms       Float64                DEFAULT -1 COMMENT 'Between two tokens of a stream, -1 unknown' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS finish_reason  LowCardinality(String) DEFAULT '' COMMENT 'stop, length, tool_calls, disconnected'
