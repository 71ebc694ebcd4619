"""Every event ever published is read for ever. A sample, once committed, is never edited: a change is a new version."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator, ValidationError

from schemas.catalogue import EVENT_TYPES, TYPE_NAMES, decode_data
from schemas.envelope import decode, encode, encode_data
from schemas.generate import FOLDER, documents, main

EVENTS = Path(__file__).with_name("events")
SAMPLES = sorted(EVENTS.glob("*.json"))
SHAPES = ("full", "minimal")


def _canonical(sample: Path) -> bytes:
    return sample.read_bytes().removesuffix(b"\n")


def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / name).read_text(encoding="utf-8")))


def test_every_event_type_has_a_full_and_a_minimal_sample() -> None:
    wanted = {f"{name}.{shape}.json" for name in EVENT_TYPES for shape in SHAPES}

    assert wanted - {sample.name for sample in SAMPLES} == set()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_is_read_and_written_back_to_the_same_bytes(sample: Path) -> None:
    canonical = _canonical(sample)

    envelope = decode(canonical)
    event = msgspec.json.decode(envelope.data, type=EVENT_TYPES[envelope.type])

    assert encode_data(event) == envelope.data
    assert encode(envelope) == canonical
    assert sample.name.startswith(f"{envelope.type}.")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_is_read_as_the_version_that_is_written_now(sample: Path) -> None:
    envelope = decode(_canonical(sample))

    event = decode_data(envelope.type, envelope.data)

    assert event is not None
    assert TYPE_NAMES[type(event)].partition(".v")[0] == envelope.type.partition(".v")[0]
    assert encode(envelope) == _canonical(sample)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_fits_the_published_schemas(sample: Path) -> None:
    event: dict[str, Any] = json.loads(_canonical(sample))

    _validator("envelope.json").validate(event)
    _validator(f"events/{event['type']}.json").validate(event["data"])


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_a_published_schema_refuses_what_the_event_does_not_have(name: str) -> None:
    sample = json.loads(_canonical(EVENTS / f"{name}.full.json"))
    validator = _validator(f"events/{name}.json")

    with pytest.raises(ValidationError):
        validator.validate({**sample["data"], "surprise": 1})
    for field in sample["data"]:
        with pytest.raises(ValidationError):
            validator.validate({key: value for key, value in sample["data"].items() if key != field})


def test_a_full_sample_leaves_no_field_empty() -> None:
    full = [json.loads(_canonical(sample)) for sample in SAMPLES if ".full." in sample.name]

    assert [event["type"] for event in full if None in event["data"].values()] == []


def test_the_generated_documents_are_those_of_the_code() -> None:
    assert main(["--check"]) == 0


@pytest.mark.parametrize("name", sorted(set(documents()) - {"asyncapi.json"}))
def test_a_generated_schema_is_a_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads((FOLDER / name).read_text(encoding="utf-8")))


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = json.loads((FOLDER / "asyncapi.json").read_text(encoding="utf-8"))
    references = list(_references(document))

    assert len(references) > len(EVENT_TYPES)
    assert [reference for reference in references if not _resolves(document, reference)] == []


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _resolves(document: object, reference: str) -> bool:
    if not reference.startswith("#/"):
        return (FOLDER / reference).is_file()
    for part in reference.removeprefix("#/").split("/"):
        document = document.get(part) if isinstance(document, dict) else None
    return document is not None
