ALTER TABLE observation_records
    ADD COLUMN IF NOT EXISTS prediction_datatype LowCardinality(String) DEFAULT '' COMMENT 'Data type of prediction, as the Open Inference Protocol names it; empty: not known, or prediction was withheld' AFTER prediction
--;;
ALTER TABLE observation_records
    MODIFY COLUMN answer String MATERIALIZED ifNull(multiIf(
            prediction_datatype = 'BYTES', prediction,
            prediction_datatype = 'FP64', toString((toFloat64OrNull(trimBoth(prediction) AS trimmed) AS double) + toFloat32(0)),
            prediction_datatype = 'FP32', toString(toFloat32(toFloat32OrNull(trimmed) + toFloat32(0))),
            prediction_datatype = 'FP16', toString(
                multiIf(abs(double) * 16384 < 1, roundBankers(double * 16777216) / 16777216,
                        abs(double) >= 65520, double * inf,
                        if(isFinite(double), reinterpretAsFloat64(bitAnd((reinterpretAsUInt64(assumeNotNull(double)) AS bits) + 2199023255551 + bitAnd(bitShiftRight(bits, 42), 1), toUInt64(18446739675663040512))), double)) + toFloat32(0)),
            prediction_datatype = 'BF16', toString(if(isFinite(double), reinterpretAsFloat64(bitAnd(bits + 17592186044415 + bitAnd(bitShiftRight(bits, 45), 1), toUInt64(18446708889337462784))), double) + toFloat32(0)),
            prediction_datatype IN ('INT8', 'INT16', 'INT32', 'INT64', 'UINT8', 'UINT16', 'UINT32', 'UINT64'), toString(
                coalesce(if(length(trimmed) <= 20, toInt128OrNull(trimmed), NULL),
                         if(abs(double) < 9007199254740992, accurateCastOrNull(double, 'Int128'), NULL))),
            prediction_datatype = 'BOOL', multiIf(lower(trimmed) IN ('true', '1', '1.0'), 'true',
                                         lower(trimmed) IN ('false', '0', '0.0'), 'false', NULL),
            toInt64OrNull(trimmed) IS NOT NULL, toString(toInt64OrNull(trimmed)),
            double IS NOT NULL, toString(double),
            lower(trimmed) IN ('true', 'false'), lower(trimmed),
            trimmed), prediction) COMMENT 'prediction in the one spelling that its data type has for each value (of INT64, 03 is 3); of an unknown type, numbers have one'
