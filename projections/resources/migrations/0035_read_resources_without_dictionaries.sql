ALTER TABLE telemetry_samples
    MODIFY COLUMN workspace String,
    MODIFY COLUMN endpoint_id String,
    MODIFY COLUMN deployment_id String,
    MODIFY COLUMN subject String,
    MODIFY COLUMN subject_id String,
    MODIFY COLUMN boot_id String,
    MODIFY COLUMN region String,
    MODIFY COLUMN measure String,
    MODIFY COLUMN source_id String,
    MODIFY COLUMN source String
SETTINGS alter_sync = 0;
