ALTER TABLE request_records
    MODIFY COLUMN is_error UInt8 MATERIALIZED status <= 0 OR status >= 500
        OR (status < 400 AND match(response_flags, '(^|,)(UT|SI|UMSDR|DT|UF|UH|UC|UR|URX|LR|UO|NC|UPE)(,|$)'))
        COMMENT 'What the error gate counts: no answer, 5xx, or one that began well and broke off; a 4xx is the caller''s',
    MODIFY COLUMN error_class LowCardinality(String) MATERIALIZED multiIf(
        status >= 200 AND status < 400 AND NOT match(response_flags, '(^|,)(UT|SI|UMSDR|DT|UF|UH|UC|UR|URX|LR|UO|NC|UPE)(,|$)'), '',
        match(response_flags, '(^|,)(UT|SI|UMSDR|DT)(,|$)') OR status = 504, 'timeout',
        match(response_flags, '(^|,)(UF|UH|UC|UR|URX|LR|UO|NC|UPE)(,|$)'), 'connection',
        status <= 0 OR status = 499 OR match(response_flags, '(^|,)(DC|DR)(,|$)'), 'aborted',
        status >= 500, 'engine',
        status >= 400, 'caller',
        'other') COMMENT 'Empty, or timeout, connection, aborted, engine, caller, other; a good status with one of them broke off';
