ALTER TABLE request_rollups
    ADD COLUMN IF NOT EXISTS refused UInt64 DEFAULT error_classes['caller'] COMMENT 'Those of the requests that ended with 4xx, whatever else the gateway says of them; of older roll-ups, those whose error_class is caller' AFTER errors
