ALTER TABLE rollout_timeline
    MODIFY COLUMN workspace String,
    MODIFY COLUMN type String
SETTINGS alter_sync = 0;
