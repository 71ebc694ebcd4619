import tomllib
from pathlib import Path

import pytest

from rollbook.cli.registry import EXTRAS, for_people
from rollbook.resources import Artifact, Signature, Tensor, Version
from serving.engines.base import FACTORIES

_PROJECT = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CREATED_AT = "2026-01-02T03:04:05.678Z"


def test_the_command_line_knows_which_formats_need_an_extra() -> None:
    assert set(FACTORIES) & set(_PROJECT["optional-dependencies"]) == EXTRAS


@pytest.mark.parametrize(
    ("artifact_format", "output", "is_noted"),
    [
        ("lightgbm", Tensor(name="label", datatype="INT64", shape=[-1]), True),
        ("xgboost", Tensor(name="digit", datatype="INT32", shape=[-1]), True),
        ("lightgbm", Tensor(name="value", datatype="FP64", shape=[-1]), False),
        ("catboost", Tensor(name="label", datatype="INT64", shape=[-1]), False),
        ("skops", Tensor(name="label", datatype="INT64", shape=[-1]), False),
    ],
)
def test_labels_are_noted_where_the_file_does_not_hold_the_classes(
    artifact_format: str,
    output: Tensor,
    is_noted: bool,  # noqa: FBT001  a case of the table
) -> None:
    artifact = Artifact(digest="sha256:0", size_bytes=1, format=artifact_format)
    version = Version(
        id="v",
        model_id="m",
        model_name="m",
        number=1,
        artifact=artifact,
        signature=Signature(inputs=[], outputs=[output]),
        golden=None,
        parameters={},
        metrics={},
        tags={},
        created_at=CREATED_AT,
    )

    assert ("numbers from 0, in the order of the classes" in str(for_people(version).get("labels"))) == is_noted
