"""Which classes a version names, as its registration says."""

import pytest

from projections.class_names.rows import class_names_row
from projections.feeds.events import recorded_event
from schemas.events.registry import ModelVersionRegistered, Signature, Tensor
from tests.support.builders import ARTIFACT
from tests.support.read_side_messages import WORKSPACE, event_message


def registered(*outputs: Tensor) -> ModelVersionRegistered:
    return ModelVersionRegistered(
        model_id="model-1",
        model_name="pets",
        number=1,
        artifact=ARTIFACT,
        signature=Signature(inputs=(), outputs=outputs),
        golden=None,
        parameters={},
        metrics={},
        tags={},
    )


PLAIN = Tensor(name="score", datatype="FP32", shape=(-1,))
NAMED = Tensor(name="label", datatype="INT64", shape=(-1,), classes=("cat", "dog"))


@pytest.mark.parametrize(
    ("outputs", "classes"), [((NAMED, PLAIN), [("cat", "dog")]), ((PLAIN, NAMED), []), ((PLAIN,), []), ((), [])]
)
def test_the_classes_are_those_of_the_first_output(outputs: tuple[Tensor, ...], classes: list[tuple[str, ...]]) -> None:
    message = event_message(registered(*outputs), stream="version-1", version=1, position=7, at_ms=1_700_000_000_000)

    rows = class_names_row(recorded_event(message), message)

    expected = {"workspace": WORKSPACE, "version_id": "version-1", "kafka_partition": 0, "kafka_offset": 6}
    assert list(rows.values) == [expected | {"classes": names} for names in classes]
