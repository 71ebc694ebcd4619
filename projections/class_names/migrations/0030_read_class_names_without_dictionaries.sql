ALTER TABLE class_names
    MODIFY COLUMN workspace String
SETTINGS alter_sync = 0;
