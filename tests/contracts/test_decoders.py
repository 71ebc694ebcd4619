"""Damaged messages are decoded or refused as declared, by every decoder of what comes from outside a program.

`./task test:fuzz` sends many more.
"""

from itertools import islice
from pathlib import Path

import pytest

from tests.support.decoders import Decoder, decoders, outcomes

MESSAGES = 400
DEEP = b"[" * 2_000
NAMES = tuple(decoders(Path()))
FOUND = {
    "events: a part that is too deep": ("events", b'{"data":' + DEEP),
    "events: a position of more digits than a number has": ("positions of events", b"9" * 5_000),
    "feedback: a member that is too deep": ("feedback", b'{"a":' + DEEP),
    "documents: a part that is too deep": ("documents", b'{"document":' + DEEP),
    "lines of the log: a member that is too deep": ("lines of the request log", b'{"a":' + DEEP + b"\n"),
    "lines of the log: a duration that no float holds": (
        "lines of the request log",
        b'{"role":"primary","end":"1","start":"1","us":1' + b"0" * 400 + b"}\n",
    ),
    "spooled observations: a time that no column holds": (
        "spooled observations",
        b'["r","p",1' + b"0" * 30 + b',200,1.5,"7","{}","{}"]',
    ),
    "spooled observations: a policy that no column holds": (
        "spooled observations",
        b'["r","p",1,200,1.5,"7","{}","{}",1' + b"0" * 30 + b"]",
    ),
    "spooled telemetry: a name that is not text": ("spooled telemetry", b"\x94\xa1s\x97\xa4\xff\xff\xff\xff"),
    "lines of a batch: an id that is there twice": (
        "lines of a batch",
        b'{"custom_id":1,"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m"}}\n',
    ),
}


@pytest.fixture
def all_of_them(tmp_path: Path) -> dict[str, Decoder]:
    return decoders(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_valid_message_is_decoded(all_of_them: dict[str, Decoder], name: str) -> None:
    decoder = all_of_them[name]

    assert "decoded" in {decoder.read(sample) for sample in decoder.samples}


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_message_is_decoded_or_refused_and_never_a_crash(all_of_them: dict[str, Decoder], name: str) -> None:
    found = list(islice(outcomes(all_of_them[name], seed=1), MESSAGES))

    assert [(value, outcome) for value, outcome in found if isinstance(outcome, Exception)] == []
    assert "refused" in {outcome for _, outcome in found}


@pytest.mark.parametrize(("name", "value"), FOUND.values(), ids=FOUND)
def test_what_once_crashed_a_decoder_is_refused(all_of_them: dict[str, Decoder], name: str, value: bytes) -> None:
    assert all_of_them[name].read(value) == "refused"


def test_a_document_with_a_part_that_is_not_text_is_no_record(all_of_them: dict[str, Decoder]) -> None:
    decoder = all_of_them["documents"]
    sample = next(each for each in decoder.samples if b'"kind":"keyring"' in each)

    assert decoder.read(sample) == "decoded"
    assert decoder.read(sample.replace(b"keyring-1", b"\xed\xa0\x80")) == "refused"
