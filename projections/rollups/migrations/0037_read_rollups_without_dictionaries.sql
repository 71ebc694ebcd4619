ALTER TABLE answer_rollups
    MODIFY COLUMN workspace String,
    MODIFY COLUMN endpoint_id String,
    MODIFY COLUMN deployment_id String,
    MODIFY COLUMN finish_reasons Map(String, UInt64)
SETTINGS alter_sync = 0
--;;
ALTER TABLE label_rollups
    MODIFY COLUMN workspace String,
    MODIFY COLUMN endpoint_id String,
    MODIFY COLUMN deployment_id String,
    MODIFY COLUMN name String,
    MODIFY COLUMN version String
SETTINGS alter_sync = 0
--;;
ALTER TABLE request_rollups
    MODIFY COLUMN workspace String,
    MODIFY COLUMN endpoint_id String,
    MODIFY COLUMN drawn_deployment_id String,
    MODIFY COLUMN deployment_id String,
    MODIFY COLUMN version String,
    MODIFY COLUMN error_classes Map(String, UInt64)
SETTINGS alter_sync = 0
--;;
ALTER TABLE score_rollups
    MODIFY COLUMN workspace String,
    MODIFY COLUMN endpoint_id String,
    MODIFY COLUMN deployment_id String,
    MODIFY COLUMN name String
SETTINGS alter_sync = 0;
