"""What an answer is compared by: its value, its type, and how else feedback may call it."""

from math import inf, nan

import pytest

from serving.capture.predicted import Predicted, Value, predicted_of

ANIMALS = ("cat", "dog", "house martin")


@pytest.mark.parametrize(
    ("values", "datatype", "classes", "predicted"),
    [
        ([], "INT64", ANIMALS, Predicted()),
        ([7], "INT64", (), Predicted("7", "INT64")),
        ([True], "BOOL", (), Predicted("true", "BOOL")),
        ([0.25, 0.5], "FP32", (), Predicted("0.25", "FP32")),
        ([2, 0], "INT64", ANIMALS, Predicted("2", "INT64", "house martin")),
        ([3], "INT64", ANIMALS, Predicted("3", "INT64")),
        ([-1], "INT64", ANIMALS, Predicted("-1", "INT64")),
        (["dog"], "BYTES", ANIMALS, Predicted("dog", "BYTES", "1")),
        (["cow"], "BYTES", ANIMALS, Predicted("cow", "BYTES")),
        (["²"], "BYTES", ANIMALS, Predicted("²", "BYTES")),
        ([-3.0, 2.5, 0.1], "FP32", ANIMALS, Predicted("1", "INT64", "dog")),
        ([0.5, 0.5, 0.0], "FP16", ANIMALS, Predicted("0", "INT64", "cat")),
        ([0.25], "FP32", ANIMALS, Predicted("0.25", "FP32")),
        ([nan, 0.2, 0.9], "FP32", ANIMALS, Predicted()),
        ([0.1, inf, 0.9], "FP32", ANIMALS, Predicted()),
        (["NaN", 0.2, 0.9], "FP32", ANIMALS, Predicted()),
    ],
)
def test_an_answer_is_compared_by_what_the_signature_makes_of_it(
    values: list[Value], datatype: str, classes: tuple[str, ...], predicted: Predicted
) -> None:
    assert predicted_of(values, datatype=datatype, classes=classes) == predicted
