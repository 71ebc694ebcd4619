import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.audit.checkpoint import ORIGIN, Checkpoint, parse_verifier_key, sign, verifier_key, verify
from control_plane.audit.errors import CheckpointError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CHECKPOINT = Checkpoint(origin=ORIGIN, size=42, root=bytes(32))


def test_a_signed_checkpoint_is_a_signed_note() -> None:
    lines = sign(CHECKPOINT, KEY).split("\n")

    assert lines[:4] == [ORIGIN, "42", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ""]
    assert lines[4].startswith(f"— {ORIGIN} ")
    assert lines[5:] == [""]


def test_a_signed_checkpoint_verifies() -> None:
    assert verify(sign(CHECKPOINT, KEY), KEY.public_key()) == CHECKPOINT


def test_another_witness_may_sign_below() -> None:
    note = sign(CHECKPOINT, KEY) + "— witness.example/w1 AAAAAAA=\n"

    assert verify(note, KEY.public_key()) == CHECKPOINT


@pytest.mark.parametrize(
    ("old", "changed"),
    [("\n42\n", "\n43\n"), ("AAAA=", "AAAB="), (ORIGIN, "another/log"), ("\n\n", "\n"), ("— ", "- ")],
)
def test_a_changed_checkpoint_is_refused(old: str, changed: str) -> None:
    with pytest.raises(CheckpointError):
        verify(sign(CHECKPOINT, KEY).replace(old, changed, 1), KEY.public_key())


def test_a_checkpoint_of_another_key_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no signature"):
        verify(sign(CHECKPOINT, KEY), Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize("note", ["", "a\n\nb", f"{ORIGIN}\n042\nAAAA\n\n", f"{ORIGIN}\n-1\n{'A' * 43}=\n\n"])
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    with pytest.raises(CheckpointError):
        verify(note, KEY.public_key())


def test_a_public_key_is_read_back() -> None:
    name, key = parse_verifier_key(verifier_key(KEY.public_key()))

    assert name == ORIGIN
    assert verify(sign(CHECKPOINT, KEY), key) == CHECKPOINT
    with pytest.raises(CheckpointError):
        parse_verifier_key("rollbook+00000000+AQ==")
