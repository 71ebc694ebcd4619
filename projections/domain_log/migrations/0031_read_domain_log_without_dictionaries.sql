ALTER TABLE domain_events
    MODIFY COLUMN type String,
    MODIFY COLUMN workspace String
SETTINGS alter_sync = 0;
