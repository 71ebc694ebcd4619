import pytest

from control_plane.rollouts.signatures import changed_answer, unaccepted_input
from schemas.events.registry import Signature, Tensor

SENT = (Tensor(name="pixels", datatype="FP32", shape=(-1, 64)), Tensor(name="age", datatype="INT64", shape=(-1, 1)))


def takes(*inputs: Tensor) -> Signature:
    return Signature(inputs=inputs, outputs=(Tensor(name="label", datatype="INT64", shape=(-1,)),))


def pixels(**changes: object) -> Tensor:
    return Tensor(**{"name": "pixels", "datatype": "FP32", "shape": (-1, 64), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "inputs",
    [
        SENT,
        (SENT[1], SENT[0]),
        (pixels(shape=(-1, -1)), SENT[1]),
        (pixels(allows_missing=True), SENT[1]),
    ],
)
def test_what_takes_at_least_what_is_sent_is_accepted(inputs: tuple[Tensor, ...]) -> None:
    assert unaccepted_input(takes(*inputs), takes(*SENT)) is None


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ((pixels(name="image"), SENT[1]), "it has no input 'pixels'; it takes 'image', 'age'"),
        ((SENT[0],), "it has no input 'age'; it takes 'pixels'"),
        ((), "it has no input 'pixels'; it takes none"),
        ((*SENT, pixels(name="mask")), "it also needs input 'mask'"),
        ((pixels(datatype="FP64"), SENT[1]), "input 'pixels' is FP64 instead of FP32"),
        ((pixels(shape=(1, 64)), SENT[1]), "input 'pixels' has shape [1, 64] instead of [-1, 64]"),
        ((pixels(shape=(-1, 8, 8)), SENT[1]), "input 'pixels' has shape [-1, 8, 8] instead of [-1, 64]"),
    ],
)
def test_what_refuses_something_that_is_sent_is_told_by_its_input(inputs: tuple[Tensor, ...], reason: str) -> None:
    assert unaccepted_input(takes(*inputs), takes(*SENT)) == reason


def test_missing_values_that_are_sent_have_to_be_allowed() -> None:
    reason = unaccepted_input(takes(pixels()), takes(pixels(allows_missing=True)))

    assert reason == "input 'pixels' does not allow missing values"


CLASSES = ("cat", "dog")


def gives(datatype: str = "INT64", *, name: str = "label", classes: tuple[str, ...] = ()) -> Signature:
    output = Tensor(name=name, datatype=datatype, shape=(-1,), classes=classes)  # type: ignore[arg-type]
    return Signature(inputs=SENT, outputs=(output,))


@pytest.mark.parametrize(
    ("candidate", "baseline", "reason"),
    [
        (gives(), gives(), None),
        (gives(name="class"), gives(), None),
        (gives("BYTES", classes=CLASSES), gives("INT64", classes=CLASSES), None),
        (gives("BOOL"), gives(), "output 'label' is BOOL instead of INT64"),
        (gives("FP32"), gives("BF16"), None),
        (gives("UINT8"), gives("INT64"), None),
        (gives("FP32"), gives("INT64"), "output 'label' is FP32 instead of INT64"),
        (gives(classes=CLASSES[::-1]), gives(classes=CLASSES), "output 'label' has other classes"),
        (gives(classes=CLASSES), gives(), "output 'label' has other classes"),
    ],
)
def test_labels_mean_the_same_where_the_first_output_is_the_same(
    candidate: Signature, baseline: Signature, reason: str | None
) -> None:
    assert changed_answer(candidate, baseline) == reason
