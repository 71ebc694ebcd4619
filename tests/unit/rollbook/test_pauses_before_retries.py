"""Which answers the SDK asks again for, and how long it waits before."""

import httpx
import pytest

from rollbook._wire import pause_before_retry_s


def answer(status: int, retry_after: str | None = None) -> httpx.Response:
    return httpx.Response(status, headers={} if retry_after is None else {"retry-after": retry_after})


def test_an_overload_of_one_s_own_waits_as_long_as_the_server_asks() -> None:
    assert pause_before_retry_s(1, answer(429, "3")) == 3.0


@pytest.mark.parametrize("retry_after", [None, "", "Wed, 21 Oct 2015 07:28:00 GMT", "-1", "0"])
def test_without_seconds_that_can_be_read_the_pauses_grow_by_themselves(retry_after: str | None) -> None:
    pauses = [pause_before_retry_s(attempt, answer(429, retry_after)) for attempt in (1, 2, 3)]

    assert pauses == [0.2, 0.4, 0.8]


def test_no_server_makes_a_caller_wait_for_minutes() -> None:
    assert pause_before_retry_s(1, answer(429, "3600")) == 10.0


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
def test_an_answer_that_will_not_change_is_not_asked_for_again(status: int) -> None:
    assert pause_before_retry_s(1, answer(status, "1")) is None


def test_tries_come_to_an_end() -> None:
    assert [pause_before_retry_s(5, each) for each in (None, answer(503), answer(429, "1"))] == [None] * 3
