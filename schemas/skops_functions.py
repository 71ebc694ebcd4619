"""The functions that a skops file may call: they only calculate. The registry and the engine refuse any other."""

_UNIVERSAL = (
    "absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_count bitwise_or "
    "bitwise_xor cbrt ceil conjugate copysign cos cosh deg2rad degrees divide divmod equal exp exp2 expm1 fabs "
    "float_power floor floor_divide fmax fmin fmod frexp gcd greater greater_equal heaviside hypot invert isfinite "
    "isinf isnan isnat lcm ldexp left_shift less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and "
    "logical_not logical_or logical_xor matmul matvec maximum minimum modf multiply negative nextafter not_equal "
    "positive power rad2deg radians reciprocal remainder right_shift rint sign signbit sin sinh spacing sqrt square "
    "subtract tan tanh trunc vecdot vecmat "
)
_OTHERS = ("clip", "max", "mean", "median", "min", "nan_to_num", "round", "sum")

UNIVERSAL_FUNCTIONS = frozenset(f"numpy.{name}" for name in _UNIVERSAL.split())
"""Those that skops trusts by itself; a test compares them with its list. It has those of scipy.special as well."""
CALCULATING_FUNCTIONS = frozenset(f"numpy.{name}" for name in _OTHERS)
"""Those of numpy that are trusted beyond them."""
KNOWN_FUNCTIONS = (
    "numpy's and scipy.special's universal functions, such as numpy.log1p, and "
    f"{', '.join(sorted(CALCULATING_FUNCTIONS))}"
)
"""What is known to be safe, for people."""
REMEDY = (
    f"build the model from scikit-learn's estimators and functions that are known to be safe ({KNOWN_FUNCTIONS}), "
    "or export it to ONNX"
)


def is_unknown(function: str) -> bool:
    """Return whether a function of numpy or scipy is none of those; of other libraries this says nothing."""
    if function.startswith("scipy."):
        # The splines of scikit-learn hold private functions of scipy, and are built again from their numbers.
        return not function.startswith(("scipy.special.", "scipy._lib."))
    return function.startswith("numpy.") and function not in UNIVERSAL_FUNCTIONS | CALCULATING_FUNCTIONS
