ALTER TABLE feedback
    MODIFY COLUMN workspace String,
    MODIFY COLUMN source String,
    MODIFY COLUMN name String
SETTINGS alter_sync = 0
--;;
ALTER TABLE observation_records
    MODIFY COLUMN workspace String,
    MODIFY COLUMN endpoint_id String,
    MODIFY COLUMN deployment_id String,
    MODIFY COLUMN version_id String,
    MODIFY COLUMN instance_id String,
    MODIFY COLUMN prediction_datatype String,
    MODIFY COLUMN boot_id String,
    MODIFY COLUMN source String,
    MODIFY COLUMN finish_reason String
SETTINGS alter_sync = 0;
