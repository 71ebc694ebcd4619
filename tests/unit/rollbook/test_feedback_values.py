"""What the SDK makes of the values that feedback may have, before they are sent as JSON."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rollbook import resources
from rollbook._sync import operations
from rollbook._sync.client import Rollbook

NOWHERE = "http://127.0.0.1:9"


class Sending(operations.Feedback):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def send(self, items: Sequence[Any]) -> resources.Accepted:
        self.values += [item["value"] for item in items]
        return resources.Accepted(accepted=len(items))


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (0.25, 0.25),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (np.float32("inf"), "inf"),
        (np.float64("nan"), "nan"),
        (np.int64(3), 3),
        (True, True),
        ("cat", "cat"),
    ],
)
def test_a_loss_that_is_no_json_is_sent_as_text(value: Any, sent: object) -> None:  # noqa: ANN401  any value
    with Rollbook(NOWHERE, token="t") as rollbook:
        rollbook.feedback = sending = Sending()

        rollbook.endpoint("flowers").send_feedback("prediction", value, name="loss")

    assert sending.values == [sent]
    assert type(sending.values[0]) is type(sent)
