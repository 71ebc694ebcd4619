ALTER TABLE feedback_history
    MODIFY COLUMN workspace String,
    MODIFY COLUMN source String,
    MODIFY COLUMN name String
SETTINGS alter_sync = 0;
