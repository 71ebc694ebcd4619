CREATE TABLE IF NOT EXISTS sink_identity
(
    id       UUID                 DEFAULT generateUUIDv4() COMMENT 'Names this database in the consumer group',
    made_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')  COMMENT 'When the database was made'
)
ENGINE = MergeTree
ORDER BY made_at
COMMENT 'A database that was made anew gets a new consumer group, and so reads the topics from their start'
--;;
INSERT INTO sink_identity (made_at) VALUES (now64(3))
