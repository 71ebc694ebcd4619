ALTER TABLE sink_positions
    ADD COLUMN IF NOT EXISTS generation UInt16 DEFAULT 0 COMMENT 'How often the topic had been made anew before; its offsets begin again each time'
