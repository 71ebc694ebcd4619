"""Older versions of events: read as the newest, never written again."""

import msgspec
import pytest

from schemas.catalogue import EVENT_TYPES, TYPE_NAMES, NotUnderstood, decode_data, read_data
from schemas.envelope import encode_data
from schemas.events import first_versions
from schemas.events.access import RoleGranted
from schemas.events.rollouts import RolloutPaused
from schemas.upcasters import UPCASTERS

NAMES = {struct: name for name, struct in EVENT_TYPES.items()}


def number_of(struct: type[msgspec.Struct]) -> int:
    return int(NAMES[struct].rpartition(".v")[2])


def test_a_grant_of_a_role_without_a_reason_is_read_as_one_whose_reason_nobody_gave() -> None:
    event = decode_data("access.RoleGranted.v1", msgspec.Raw(b'{"role":"admin"}'))

    assert event == RoleGranted(role="admin", reason=None)


def test_each_version_before_the_newest_has_an_upcaster_and_is_not_written() -> None:
    newest = {name.partition(".v")[0]: struct for name, struct in EVENT_TYPES.items() if struct in TYPE_NAMES}
    older = {struct for name, struct in EVENT_TYPES.items() if newest[name.partition(".v")[0]] is not struct}

    assert older == set(UPCASTERS)
    assert all(number_of(struct) < number_of(newest[NAMES[struct].partition(".v")[0]]) for struct in older)


def test_what_is_written_is_never_the_older_version() -> None:
    assert TYPE_NAMES[RoleGranted] == "access.RoleGranted.v2"
    assert first_versions.RoleGranted not in TYPE_NAMES


@pytest.mark.parametrize(
    ("type_name", "data", "detail"),
    [
        ("rollouts.RolloutPaused.v2", {"step": 0, "reason": "by hand"}, "the type is unknown here"),
        ("rollouts.RolloutPraised.v1", {}, "the type is unknown here"),
        ("access.RoleGranted.v2", {"role": "owner", "reason": None}, "'owner'"),
    ],
)
def test_what_a_newer_release_wrote_is_told_apart(type_name: str, data: dict[str, object], detail: str) -> None:
    event = read_data(type_name, msgspec.Raw(msgspec.json.encode(data)))

    assert isinstance(event, NotUnderstood)
    assert event.type_name == type_name
    assert detail in event.detail


def test_a_field_that_a_newer_release_added_is_passed_over() -> None:
    paused = RolloutPaused(step=0, reason="by hand")
    data = msgspec.json.decode(encode_data(paused)) | {"until": "tomorrow"}

    assert read_data("rollouts.RolloutPaused.v1", msgspec.Raw(msgspec.json.encode(data))) == paused
