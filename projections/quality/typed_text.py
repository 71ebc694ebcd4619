"""Text of values as SQL: what an answer and what feedback says of it, in one spelling for each data type.

Two texts of one type are the same value where their spellings are the same: text as text, integers exactly, floats at
the precision of their type. Feedback that is no value of the type has none, and is neither right nor wrong.
"""

# The types of integers, as ClickHouse calls them.
_WHOLE = {f"{kind.upper()}{bits}": f"{kind}{bits}" for kind in ("Int", "UInt") for bits in (8, 16, 32, 64)}
# As many characters as the largest number has: digits beyond those of an Int128 would be lost silently.
_MAX_CHARACTERS = 20
# Up to here, every whole number is one of FP64.
_EXACT = 2**53

# Adding 0 makes one of the two zeros.
_ZERO = "toFloat32(0)"

# IEEE 754: of the 52 bits that FP64 has after the point, a type keeps so many.
_FP16_BITS = 10
_BF16_BITS = 7
_FP16_SUBNORMAL = 2**24
_FP16_NORMAL_FROM = 2**14
_FP16_INFINITE_FROM = 65_520


def spelled(text: str, datatype: str) -> str:
    """Return an expression, null where `text` is no value of `datatype`, one of the Open Inference Protocol.

    Values of an unknown type, of which earlier records are, are numbers where they read as some. The expression names
    parts of itself: `trimmed`, `double`, `bits` and `whole`.
    """
    return f"""multiIf(
        {datatype} = 'BYTES', {text},
        {datatype} = 'FP64', toString((toFloat64OrNull(trimBoth({text}) AS trimmed) AS double) + {_ZERO}),
        {datatype} = 'FP32', toString(toFloat32(toFloat32OrNull(trimmed) + {_ZERO})),
        {datatype} = 'FP16', toString(
            multiIf(abs(double) * {_FP16_NORMAL_FROM} < 1, roundBankers(double * {_FP16_SUBNORMAL}) / {_FP16_SUBNORMAL},
                    abs(double) >= {_FP16_INFINITE_FROM}, double * inf,
                    {_rounded(_FP16_BITS)}) + {_ZERO}),
        {datatype} = 'BF16', toString({_rounded(_BF16_BITS)} + {_ZERO}),
        {_integers(datatype)},
        {datatype} = 'BOOL', multiIf(lower(trimmed) IN ('true', '1', '1.0'), 'true',
                                     lower(trimmed) IN ('false', '0', '0.0'), 'false', NULL),
        toInt64OrNull(trimmed) IS NOT NULL, toString(toInt64OrNull(trimmed)),
        double IS NOT NULL, toString(double),
        lower(trimmed) IN ('true', 'false'), lower(trimmed),
        trimmed)"""


def number_in(text: str) -> str:
    """Return an expression for the number that feedback reports as a loss or a rating, null if it is none."""
    return f"toFloat64OrNull(trimBoth({text}))"


def is_readable(text: str, spelling: str, *, other_name: str, classes: str) -> str:
    """Return an expression for whether feedback may be right or wrong of an answer, given its text and its spelling.

    An answer that has an other name is a class. If the classes of its version are known, feedback has to be one of
    them, by name or index.
    """
    index = f"toUInt64OrNull({spelling})"
    is_class = f"has({classes}, {text}) OR ifNull({index} < length({classes}) AND toString({index}) = {spelling}, 0)"
    is_value = f"{spelling} IS NOT NULL OR {other_name} != ''"
    return f"if({other_name} != '' AND notEmpty({classes}), {is_class}, {is_value})"


def _integers(datatype: str) -> str:
    number = f"""(coalesce(if(length(trimmed) <= {_MAX_CHARACTERS}, toInt128OrNull(trimmed), NULL),
                  if(abs(double) < {_EXACT}, accurateCastOrNull(double, 'Int128'), NULL)) AS whole)"""
    numbers = (number, *["whole"] * (len(_WHOLE) - 1))
    return ",\n        ".join(
        f"{datatype} = '{name}', toString(accurateCastOrNull({each}, '{kind}'))"
        for each, (name, kind) in zip(numbers, _WHOLE.items(), strict=True)
    )


def _rounded(kept_bits: int) -> str:
    """Round `double` to the nearest number with so many bits after the point, to the even one of two."""
    dropped = 52 - kept_bits
    bits = "(reinterpretAsUInt64(assumeNotNull(double)) AS bits)" if kept_bits == _FP16_BITS else "bits"
    half = f"{2 ** (dropped - 1) - 1} + bitAnd(bitShiftRight(bits, {dropped}), 1)"
    kept = f"reinterpretAsFloat64(bitAnd({bits} + {half}, toUInt64({2**64 - 2**dropped})))"
    return f"if(isFinite(double), {kept}, double)"
