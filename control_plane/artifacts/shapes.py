"""Whether the shapes that a signature promises and those that a file states can both hold; -1 is a free size."""


def takes(promised: tuple[int, ...], held: tuple[int, ...]) -> bool:
    """Whether the model takes what the signature lets through; a free number of rows must be free in both."""
    if promised and held and promised[0] < 0 < held[0]:
        return False
    return _agree(promised, held)


def gives(promised: tuple[int, ...], held: tuple[int, ...]) -> bool:
    """Whether the model may answer as promised; a last dimension of one value may be there or not."""
    if len(held) == len(promised) + 1 and held[-1] in {-1, 1}:
        held = held[:-1]
    elif len(held) + 1 == len(promised) and promised[-1] in {-1, 1}:
        promised = promised[:-1]
    return _agree(promised, held)


def _agree(promised: tuple[int, ...], held: tuple[int, ...]) -> bool:
    return len(promised) == len(held) and all(
        size < 0 or fixed < 0 or size == fixed for size, fixed in zip(promised, held, strict=True)
    )
