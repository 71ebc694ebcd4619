ALTER TABLE request_records
    ADD COLUMN IF NOT EXISTS drawn_deployment_id LowCardinality(String) DEFAULT '' COMMENT 'Deployment that the split named; another answered where they differ; empty: as deployment_id',
    ADD COLUMN IF NOT EXISTS instance_region     LowCardinality(String) DEFAULT '' COMMENT 'Region of the instance that answered; empty where none did'
