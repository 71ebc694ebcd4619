ALTER TABLE prediction_index
    MODIFY COLUMN workspace String,
    MODIFY COLUMN role String,
    MODIFY COLUMN endpoint_id String,
    MODIFY COLUMN endpoint String,
    MODIFY COLUMN deployment_id String,
    MODIFY COLUMN version_id String,
    MODIFY COLUMN version String,
    MODIFY COLUMN region String,
    MODIFY COLUMN instance String,
    MODIFY COLUMN instance_region String,
    MODIFY COLUMN drawn_deployment_id String
SETTINGS alter_sync = 0;
