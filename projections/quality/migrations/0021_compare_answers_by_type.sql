ALTER TABLE observation_records
    ADD COLUMN IF NOT EXISTS prediction_datatype LowCardinality(String) DEFAULT '' COMMENT 'Data type of prediction, as the Open Inference Protocol names it; empty: not known, or prediction was withheld' AFTER prediction
--;;
ALTER TABLE observation_records
    MODIFY COLUMN answer String MATERIALIZED ifNull(multiIf(
        prediction_datatype IN ('BYTES', 'BOOL'), prediction,
        prediction_datatype = 'FP32', toString(toFloat32(toFloat32OrNull(prediction) + toFloat32(0))),
        prediction_datatype IN ('FP64', 'FP16', 'BF16'), toString(toFloat64OrNull(prediction) + toFloat32(0)),
        toInt128OrNull(trimBoth(prediction)) IS NOT NULL, toString(toInt128OrNull(trimBoth(prediction))),
        toFloat64OrNull(trimBoth(prediction)) IS NOT NULL, toString(toFloat64OrNull(trimBoth(prediction))),
        lower(trimBoth(prediction)) IN ('true', 'false'), lower(trimBoth(prediction)),
        trimBoth(prediction)), prediction) COMMENT 'prediction in the one spelling that its data type has for each value (of INT64, 03 is 3); of an unknown type, numbers have one'
