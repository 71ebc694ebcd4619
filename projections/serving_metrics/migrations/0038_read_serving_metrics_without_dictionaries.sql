ALTER TABLE request_records
    MODIFY COLUMN workspace String,
    MODIFY COLUMN endpoint_id String,
    MODIFY COLUMN endpoint String,
    MODIFY COLUMN deployment_id String,
    MODIFY COLUMN version_id String,
    MODIFY COLUMN version String,
    MODIFY COLUMN role String,
    MODIFY COLUMN region String,
    MODIFY COLUMN instance String,
    MODIFY COLUMN response_flags String,
    MODIFY COLUMN gateway_id String,
    MODIFY COLUMN source String,
    MODIFY COLUMN error_class String,
    MODIFY COLUMN drawn_deployment_id String,
    MODIFY COLUMN instance_region String,
    MODIFY COLUMN kind String
SETTINGS alter_sync = 0;
