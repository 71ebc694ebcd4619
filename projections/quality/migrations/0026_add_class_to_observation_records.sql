ALTER TABLE observation_records
    ADD COLUMN IF NOT EXISTS prediction_class String DEFAULT '' COMMENT 'How else feedback may call prediction: the name of the class whose index it is, or the index of the class that it names; empty where the signature names no classes' CODEC(ZSTD(1)) AFTER prediction_datatype
