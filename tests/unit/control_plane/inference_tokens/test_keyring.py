from itertools import count

import msgspec
import pytest

from control_plane.inference_tokens.aggregate import KEYRINGS, as_of, revoke_token, revoke_tokens_of, rotate
from control_plane.inference_tokens.commands import RotateSigningKey
from control_plane.inference_tokens.errors import (
    RotationUnderWayError,
    TooManyRevocationsError,
    TooManySigningKeysError,
)
from control_plane.ports import EventContext
from schemas.documents.access import Keyring
from schemas.envelope import rfc3339
from schemas.events.access import SigningKey

NOW = 1_760_000_000_000
HOUR = 3_600_000


def key(name: str) -> SigningKey:
    return SigningKey(key_id=name, x=f"x-{name}", signs_from=rfc3339(0), valid_until=None)


class Story:
    """A keyring and the time at which it is changed."""

    def __init__(self) -> None:
        self.state = Keyring()
        self.now_ms = NOW
        self._version = count(1)

    def tell(self, events: tuple[msgspec.Struct, ...]) -> None:
        for event in events:
            context = EventContext(
                event_id="event", workspace="default", stream="keyring-1", version=next(self._version),
                at=rfc3339(self.now_ms), actor="principal-1",
            )  # fmt: skip
            self.state = KEYRINGS.evolve(self.state, event, context)

    def rotate(self, name: str, **options: int) -> None:
        command = RotateSigningKey(reason="yearly", **options)
        self.tell(rotate(self.state, command, first=key("first"), fresh=key(name), now_ms=self.now_ms))


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_fresh_key_signs_after_the_lead_and_the_one_before_stays_good_for_the_overlap(story: Story) -> None:
    story.rotate("second", lead_s=10, overlap_s=3_600)

    assert [(one.key_id, one.signs_from, one.valid_until) for one in story.state.keys] == [
        ("first", rfc3339(0), rfc3339(NOW + 10_000 + HOUR)),
        ("second", rfc3339(NOW + 10_000), None),
    ]


def test_the_first_key_is_not_taken_up_again(story: Story) -> None:
    story.rotate("second")
    story.now_ms += 2 * HOUR

    story.rotate("third")

    assert [one.key_id for one in story.state.keys] == ["second", "third"]


def test_without_overlap_every_other_key_ends_at_once(story: Story) -> None:
    story.rotate("second")

    story.rotate("third", overlap_s=0)

    assert [(one.key_id, one.signs_from) for one in story.state.keys] == [("third", rfc3339(NOW))]


def test_a_second_rotation_waits_for_the_first_to_sign(story: Story) -> None:
    story.rotate("second", lead_s=10)

    with pytest.raises(RotationUnderWayError):
        story.rotate("third")


def test_the_number_of_keys_is_bounded(story: Story) -> None:
    for number in range(4):
        story.rotate(str(number), lead_s=0)
        story.now_ms += 1_000

    with pytest.raises(TooManySigningKeysError):
        story.rotate("one more", lead_s=0)


def test_a_revoked_token_is_remembered_until_it_has_ended(story: Story) -> None:
    story.tell(revoke_token(story.state, "one", "leaked", now_ms=NOW))

    assert revoke_token(story.state, "one", "again", now_ms=NOW) == ()
    assert [token.token_id for token in as_of(story.state, rfc3339(NOW + HOUR)).tokens] == ["one"]
    assert as_of(story.state, rfc3339(NOW + HOUR + 60_000)).tokens == ()


def test_what_a_principal_minted_until_now_is_refused_and_a_later_revocation_replaces_it(story: Story) -> None:
    for _ in range(2):
        story.now_ms += 1_500
        story.tell(revoke_tokens_of(story.state, "principal-2", "leaked", now_ms=story.now_ms))

    (revoked,) = story.state.principals
    assert revoked.issued_before == rfc3339(NOW + 4_000)


def test_the_number_of_revocations_is_bounded_and_time_makes_room(story: Story) -> None:
    for number in range(1_000):
        story.tell(revoke_token(story.state, str(number), "leaked", now_ms=NOW))

    with pytest.raises(TooManyRevocationsError):
        revoke_token(story.state, "one more", "leaked", now_ms=NOW)
    assert revoke_token(story.state, "one more", "leaked", now_ms=NOW + HOUR + 60_000)
