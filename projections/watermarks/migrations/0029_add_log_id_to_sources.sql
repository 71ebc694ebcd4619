ALTER TABLE sources
    ADD COLUMN IF NOT EXISTS log_id SimpleAggregateFunction(max, String) COMMENT 'The log of a gateway or the spools of an agent that it reads; a newer source of the same log reads on from where it stopped; empty in batches of earlier releases' AFTER unsampled
