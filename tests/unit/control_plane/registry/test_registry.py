"""Models and their versions: what is recorded, and what is refused with the field and the remedy."""

from typing import Any

import msgspec
import pytest

from control_plane.artifacts.inspection import InspectedArtifact
from control_plane.errors import RollbookError
from control_plane.ports import Reply, UnitOfWork
from control_plane.registry import errors
from control_plane.registry.commands import RegisterModel, RegisterVersion, RemoveAlias, SetAlias
from control_plane.registry.handlers import register_model, register_version, remove_alias, set_alias
from control_plane.registry.resources import MODELS, VERSIONS, ModelResource
from control_plane.web.bodies import InvalidBodyError, decode_body
from schemas.documents.versions import Version
from schemas.events.registry import (
    Artifact,
    ModelRegistered,
    ModelVersionRegistered,
    VersionAliasRemoved,
    VersionAliasSet,
    VersionNumberAssigned,
)
from tests.support.builders import ARTIFACT
from tests.support.memory_log import MemoryLog

BODY: dict[str, Any] = {
    "artifact": {"digest": ARTIFACT.digest, "format": "skops"},
    "signature": {
        "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}],
    },
    "golden": {
        "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1]}],
        "outputs": {"label": [7]},
    },
    "metrics": {"accuracy": 0.9},
    "tags": {"team": "vision"},
}
FILE = InspectedArtifact(artifact=ARTIFACT)
PIXELS = BODY["golden"]["inputs"][0]
INPUT = BODY["signature"]["inputs"][0]
LABEL = BODY["signature"]["outputs"][0]
FLOAT_LABEL = {"name": "label", "datatype": "FP32", "shape": [-1]}


def with_model(name: str = "digits") -> tuple[MemoryLog, ModelResource]:
    log = MemoryLog()
    reply = log.run(lambda unit: register_model(unit, RegisterModel(name=name), expected_version=None))
    return log, msgspec.json.decode(reply.body, type=ModelResource)


def register(
    log: MemoryLog,
    body: dict[str, Any] = BODY,
    *,
    model: str = "digits",
    expected_version: int | None = None,
    file: InspectedArtifact = FILE,
) -> Version:
    command = decode_body(msgspec.json.encode(body), RegisterVersion)
    reply = log.run(lambda unit: register_version(unit, model, command, file, expected_version=expected_version))
    assert reply.status == 201
    return msgspec.json.decode(reply.body, type=Version)


def refusal(
    log: MemoryLog,
    expected: type[RollbookError],
    *,
    body: dict[str, Any] = BODY,
    model: str = "digits",
    expected_version: int | None = None,
) -> RollbookError:
    before = len(log.events)
    with pytest.raises(expected) as caught:
        register(log, body, model=model, expected_version=expected_version)
    assert len(log.events) == before, "a refused command leaves no event"
    assert caught.value.remedy
    return caught.value


def golden(**changes: object) -> dict[str, Any]:
    return BODY | {"golden": BODY["golden"] | changes}


def test_a_model_gets_its_name() -> None:
    log, model = with_model("Digits")

    assert log.of(model.id) == [ModelRegistered(name="Digits", description="", tags={})]
    assert (model.name, model.latest_version) == ("Digits", None)


@pytest.mark.parametrize(
    "name",
    [
        "-digits",
        "digits.",
        "di gits",
        "a/b",
        "x" * 64,
        "d\N{LATIN SMALL LETTER DOTLESS I}gits",
        "\N{KELVIN SIGN}",
        "digits\n",
    ],
)
def test_a_name_that_does_not_work_in_a_path_is_refused(name: str) -> None:
    log = MemoryLog()

    with pytest.raises(errors.InvalidNameError) as caught:
        log.run(lambda unit: register_model(unit, RegisterModel(name=name), expected_version=None))

    assert (caught.value.field, log.events) == ("name", [])


def test_a_name_that_reads_as_an_id_is_refused() -> None:
    _, model = with_model()

    with pytest.raises(errors.InvalidNameError):
        with_model(model.id.upper())


def test_versions_of_a_model_are_numbered_from_one() -> None:
    log, model = with_model()

    first, second = register(log, model="DIGITS"), register(log, model=model.id)

    assert (first.number, second.number) == (1, 2)
    assert log.of(model.id)[1:] == [
        VersionNumberAssigned(version_id=first.id, number=1),
        VersionNumberAssigned(version_id=second.id, number=2),
    ]


def test_a_version_keeps_what_it_was_registered_with() -> None:
    log, model = with_model()

    version = register(log)

    (event,) = log.of(version.id)
    assert isinstance(event, ModelVersionRegistered)
    assert (event.model_id, event.model_name, event.number) == (model.id, "digits", 1)
    assert (version.artifact, version.metrics, version.tags) == (ARTIFACT, {"accuracy": 0.9}, {"team": "vision"})
    assert version.golden is not None
    assert version.golden.inputs[0].data == (0.5, 1)


def test_the_rows_are_those_that_the_log_gives() -> None:
    log, model = with_model()
    version = register(log)

    assert MODELS.row(log.replayed(MODELS, model.id)) == log.rows[model.id]
    row = VERSIONS.row(log.replayed(VERSIONS, version.id))
    assert row == log.rows[version.id]
    assert row is not None
    assert (row.parent_id, row.number) == (model.id, 1)


def test_a_caller_who_saw_another_version_of_the_model_is_refused() -> None:
    log, _ = with_model()
    register(log, expected_version=1)

    assert refusal(log, errors.StaleVersionError, expected_version=1).field == "If-Match"


@pytest.mark.parametrize("model", ["letters", "model-01890000-0000-7000-8000-000000000000"])
def test_a_version_of_no_model_is_refused(model: str) -> None:
    log, _ = with_model()

    assert refusal(log, errors.ModelNotFoundError, model=model).field == "model"


TWICE = BODY["signature"]["inputs"] * 2


@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        (
            BODY | {"signature": BODY["signature"] | {"inputs": TWICE}},
            errors.InvalidSignatureError,
            "signature.inputs[1].name",
        ),
        (golden(inputs=[PIXELS | {"name": "other"}]), errors.InvalidGoldenExampleError, "golden.inputs"),
        (golden(inputs=[PIXELS, PIXELS]), errors.InvalidGoldenExampleError, "golden.inputs"),
        (
            golden(inputs=[PIXELS | {"datatype": "FP64"}]),
            errors.InvalidGoldenExampleError,
            "golden.inputs[0].datatype",
        ),
        (golden(inputs=[PIXELS | {"shape": [1, 3]}]), errors.InvalidGoldenExampleError, "golden.inputs[0].shape"),
        (golden(inputs=[PIXELS | {"shape": [-1, 2]}]), errors.InvalidGoldenExampleError, "golden.inputs[0].shape"),
        (golden(inputs=[PIXELS | {"data": [0.5]}]), errors.InvalidGoldenExampleError, "golden.inputs[0].data"),
        (
            golden(inputs=[PIXELS | {"data": [0.5, True]}]),
            errors.InvalidGoldenExampleError,
            "golden.inputs[0].data[1]",
        ),
        (
            golden(inputs=[PIXELS | {"shape": [0, 2], "data": []}]),
            errors.InvalidGoldenExampleError,
            "golden.inputs[0].shape",
        ),
        (
            BODY | {"signature": BODY["signature"] | {"inputs": [INPUT | {"shape": [0, 2]}]}},
            errors.InvalidSignatureError,
            "signature.inputs[0].shape",
        ),
        (
            BODY
            | {"signature": BODY["signature"] | {"inputs": [INPUT | {"datatype": "INT8", "allows_missing": True}]}},
            errors.InvalidSignatureError,
            "signature.inputs[0].allows_missing",
        ),
        (
            BODY | {"signature": BODY["signature"] | {"outputs": [FLOAT_LABEL | {"allows_missing": True}]}},
            errors.InvalidSignatureError,
            "signature.outputs[0].allows_missing",
        ),
        *(
            (
                BODY | {"signature": BODY["signature"] | {"outputs": [LABEL | classes]}},
                errors.InvalidSignatureError,
                "signature.outputs[0].classes",
            )
            for classes in (
                {"classes": ["cat", "dog", "cat"]},
                {"classes": ["1", "0"]},
                {"classes": ["0", "1", "-1"]},
                {"classes": ["1.0", "0.0"]},
                {"classes": ["1e0", "yes"]},
                {"datatype": "BOOL", "classes": ["no", "yes"]},
                {"datatype": "FP32", "shape": [-1], "classes": ["no"]},
                {"datatype": "FP32", "shape": [-1, 3], "classes": ["no", "yes"]},
            )
        ),
        (
            BODY | {"signature": BODY["signature"] | {"inputs": [INPUT | {"datatype": "INT8", "classes": ["cat"]}]}},
            errors.InvalidSignatureError,
            "signature.inputs[0].classes",
        ),
        (golden(outputs={"score": [7]}), errors.InvalidGoldenExampleError, "golden.outputs.score"),
        (golden(outputs={"label": [7.5]}), errors.InvalidGoldenExampleError, "golden.outputs.label[0]"),
        (golden(outputs={}), InvalidBodyError, "golden.outputs"),
        (BODY | {"artifact": {"digest": "x", "format": "pickle"}}, InvalidBodyError, "artifact.format"),
        (BODY | {"colour": "red"}, InvalidBodyError, "colour"),
        ({"artifact": BODY["artifact"]}, errors.SignatureNotToldError, "signature.inputs"),
        (
            {"artifact": BODY["artifact"], "signature": {"inputs": BODY["signature"]["inputs"]}},
            errors.SignatureNotToldError,
            "signature.outputs",
        ),
        (BODY | {"parameters": {"depth": 3}}, InvalidBodyError, "parameters[...]"),
        (BODY | {"metrics": {"accuracy": "high"}}, InvalidBodyError, "metrics[...]"),
        (
            BODY | {"signature": BODY["signature"] | {"outputs": [{"name": "a", "datatype": "FLOAT", "shape": []}]}},
            InvalidBodyError,
            "signature.outputs[0].datatype",
        ),
    ],
)
def test_a_version_that_can_not_be_right_is_refused(
    body: dict[str, Any], error: type[RollbookError], field: str
) -> None:
    log, _ = with_model()

    assert refusal(log, error, body=body).field == field


@pytest.mark.parametrize(
    ("datatype", "right", "wrong"),
    [
        ("BOOL", True, 1),
        ("BYTES", "cat", 3),
        ("FP64", 3, "3"),
        ("INT8", -3, 3.0),
        ("UINT8", 3, -3),
        ("INT64", 3, True),
        ("INT8", -128, 300),
        ("INT64", 2**63 - 1, 2**63),
        ("UINT64", 2**64 - 1, 2**64),
        ("BF16", 0.5, 3.4e38),
        ("FP16", 65504, 1e6),
        ("FP32", 3.4e38, 1e39),
        ("FP64", 1e308, 10**400),
    ],
)
def test_the_values_of_an_example_are_of_the_stated_type(datatype: str, right: object, wrong: object) -> None:
    log, _ = with_model()
    outputs = [{"name": "label", "datatype": datatype, "shape": [-1]}]
    typed = BODY | {"signature": BODY["signature"] | {"outputs": outputs}}

    assert register(log, typed | {"golden": BODY["golden"] | {"outputs": {"label": [right]}}}).number == 1
    bad = typed | {"golden": BODY["golden"] | {"outputs": {"label": [right, wrong]}}}
    assert refusal(log, errors.InvalidGoldenExampleError, body=bad).field == "golden.outputs.label[1]"


def with_two_versions() -> tuple[MemoryLog, list[str]]:
    log, _ = with_model()
    return log, [register(log).id, register(log).id]


def alias(log: MemoryLog, name: str, version: int | None) -> ModelResource:
    def decided(unit: UnitOfWork) -> Reply:
        if version is None:
            return remove_alias(unit, "digits", name, RemoveAlias(reason="done"), expected_version=None)
        return set_alias(unit, "digits", name, SetAlias(version=version, reason="best"), expected_version=None)

    return msgspec.json.decode(log.run(decided).body, type=ModelResource)


def test_an_alias_moves_from_version_to_version_and_goes_away() -> None:
    log, (first, second) = with_two_versions()
    before = len(log.events)

    seen = [alias(log, "champion", number).aliases for number in (1, 2, None)]

    assert seen == [{"champion": 1}, {"champion": 2}, {}]
    assert [event for _, event, _ in log.events[before:]] == [
        VersionAliasSet(alias="champion", version_id=first, number=1, reason="best"),
        VersionAliasSet(alias="champion", version_id=second, number=2, reason="best"),
        VersionAliasRemoved(alias="champion", reason="done"),
    ]


def test_an_alias_that_is_already_so_is_no_news() -> None:
    log, _ = with_two_versions()
    alias(log, "champion", 1)
    before = len(log.events)

    alias(log, "champion", 1)
    alias(log, "challenger", None)

    assert len(log.events) == before


@pytest.mark.parametrize("name", ["7", "Champion", "a:b", "a@b", "", ".", "-x", "x" * 64, "ä"])
def test_an_alias_that_callers_could_not_write_is_refused(name: str) -> None:
    log, _ = with_two_versions()

    with pytest.raises(errors.InvalidAliasError):
        alias(log, name, 1)


def test_an_alias_of_a_version_that_is_not_there_is_refused() -> None:
    log, _ = with_two_versions()

    with pytest.raises(errors.VersionNotFoundError):
        alias(log, "champion", 3)


MODEL_DIRECTORY = msgspec.structs.replace(ARTIFACT, format="transformers")
ADAPTER = msgspec.structs.replace(ARTIFACT, format="lora")


def register_adapter(log: MemoryLog, parent: str | None, *, artifact: Artifact = ADAPTER) -> Version:
    chosen = {"digest": artifact.digest, "format": artifact.format, **({"parent": parent} if parent else {})}
    command = decode_body(msgspec.json.encode(BODY | {"artifact": chosen}), RegisterVersion)
    file = InspectedArtifact(artifact=artifact)
    reply = log.run(lambda unit: register_version(unit, "digits", command, file, expected_version=None))
    return msgspec.json.decode(reply.body, type=Version)


def test_an_adapter_names_the_version_that_it_adapts() -> None:
    log, _ = with_model()
    parent = register_adapter(log, None, artifact=MODEL_DIRECTORY)

    by_number, by_id = register_adapter(log, "digits/1"), register_adapter(log, parent.id)

    assert by_number.artifact == by_id.artifact == msgspec.structs.replace(ADAPTER, parent=parent.id)
    assert [each.artifact.parent for each in log.of(by_id.id) if isinstance(each, ModelVersionRegistered)] == [
        parent.id
    ]


@pytest.mark.parametrize(
    ("parent", "artifact", "error"),
    [
        (None, ADAPTER, errors.InvalidParentError),
        ("digits/2", ADAPTER, errors.InvalidParentError),
        ("digits/1", MODEL_DIRECTORY, errors.InvalidParentError),
        ("digits/9", ADAPTER, errors.VersionNotFoundError),
        ("digits/x", ADAPTER, errors.VersionNotFoundError),
        ("nothing", ADAPTER, errors.VersionNotFoundError),
        ("other/1", ADAPTER, errors.ModelNotFoundError),
    ],
)
def test_an_adapter_without_a_model_as_parent_is_refused(
    parent: str | None, artifact: Artifact, error: type[RollbookError]
) -> None:
    log, _ = with_model()
    register_adapter(log, None, artifact=MODEL_DIRECTORY)
    register_adapter(log, "digits/1")
    before = len(log.events)

    with pytest.raises(error):
        register_adapter(log, parent, artifact=artifact)

    assert len(log.events) == before
