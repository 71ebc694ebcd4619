from base64 import b64decode, b64encode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.keys.errors import KeyDoesNotFitError
from control_plane.keys.key_file import SubjectKey, fresh_key
from control_plane.keys.sealing import StagedKeys, open_sealed, seal


class KeysInMemory:
    def __init__(self, *keys: SubjectKey) -> None:
        self._keys = {key.key_id: key for key in keys}

    def key(self, key_id: str) -> SubjectKey | None:
        return self._keys.get(key_id)

    def keys_of(self, subject: str) -> tuple[SubjectKey, ...]:
        return tuple(key for key in self._keys.values() if key.subject == subject)

    def save(self, keys: object) -> None:
        raise NotImplementedError

    def shred(self, key_ids: object) -> None:
        raise NotImplementedError


@given(value=st.text())
def test_a_sealed_value_opens_under_its_key_and_event(value: str) -> None:
    key = fresh_key("ada")

    sealed = seal(value, key=key, event_id="event-1")

    assert open_sealed(sealed, key=key, event_id="event-1") == value
    assert open_sealed(sealed, key=None, event_id="event-1") is None


def test_a_sealed_value_does_not_open_in_another_event() -> None:
    key = fresh_key("ada")
    sealed = seal("Ada", key=key, event_id="event-1")

    with pytest.raises(KeyDoesNotFitError):
        open_sealed(sealed, key=key, event_id="event-2")


def test_an_altered_value_does_not_open() -> None:
    key = fresh_key("ada")
    sealed = seal("Ada", key=key, event_id="event-1")
    raw = bytearray(b64decode(sealed.ciphertext))
    raw[-1] ^= 1

    with pytest.raises(KeyDoesNotFitError):
        open_sealed(msgspec.structs.replace(sealed, ciphertext=b64encode(raw).decode()), key=key, event_id="event-1")


def test_the_same_value_is_sealed_differently_each_time() -> None:
    key = fresh_key("ada")

    assert seal("Ada", key=key, event_id="e") != seal("Ada", key=key, event_id="e")


def test_a_key_does_not_show_its_secret() -> None:
    key = fresh_key("ada")

    assert repr(key) == f"SubjectKey(key_id={key.key_id!r})"


def test_a_subject_keeps_its_key_and_gets_another_one_after_shredding() -> None:
    durable = fresh_key("ada")
    group = StagedKeys(KeysInMemory(durable))

    assert group.key_for("ada") == durable
    group.shred("ada")
    second = group.key_for("ada")

    assert second != durable
    assert (set(group.added), group.shredded) == ({second.key_id}, {durable.key_id})
    assert group.key(durable.key_id) is None


def test_a_command_changes_the_keys_of_its_group_only_when_it_is_taken() -> None:
    durable = fresh_key("ada")
    group = StagedKeys(KeysInMemory(durable))
    command = StagedKeys(group)

    made = command.key_for("grace")
    command.shred("ada")

    assert group.keys_of("ada") == (durable,)
    assert group.keys_of("grace") == ()
    group.take(command)
    assert group.keys_of("ada") == ()
    assert group.keys_of("grace") == (made,)


def test_a_key_made_and_shredded_in_one_group_is_never_kept() -> None:
    group = StagedKeys(KeysInMemory())
    first, second = StagedKeys(group), StagedKeys(group)
    made = first.key_for("ada")
    group.take(first)

    second.shred("ada")
    group.take(second)

    assert group.added == {}
    assert group.key(made.key_id) is None
