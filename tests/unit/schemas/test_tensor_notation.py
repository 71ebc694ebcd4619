"""Options that are printed can be pasted into a shell as they are."""

import shlex

from schemas.events.registry import Signature, Tensor
from schemas.tensor_notation import options_of


def test_names_that_a_shell_would_take_apart_are_quoted() -> None:
    born = Tensor(name="city of birth", datatype="BYTES", shape=(-1,))
    cost = Tensor(name="cost in $HOME's", datatype="FP64", shape=(-1, 2), allows_missing=True)
    label = Tensor(name="label", datatype="INT64", shape=(-1,), classes=("cat", "house martin"))

    options = options_of(Signature(inputs=(born, cost), outputs=(label,)))

    assert options.startswith("--input 'city of birth:BYTES:-1' --input ")
    assert options.endswith(" --output 'label:INT64:-1:classes=cat,house martin'")
    assert shlex.split(options)[1::2] == [
        "city of birth:BYTES:-1",
        "cost in $HOME's:FP64:-1x2:missing",
        "label:INT64:-1:classes=cat,house martin",
    ]
