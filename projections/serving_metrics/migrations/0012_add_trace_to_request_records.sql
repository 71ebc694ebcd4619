ALTER TABLE request_records
    ADD COLUMN IF NOT EXISTS trace_id String DEFAULT '' COMMENT 'W3C trace id of the request; empty where the caller sent none' CODEC(ZSTD(1)) AFTER byte_offset
