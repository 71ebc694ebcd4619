"""A person's name is in no file of the stack once the person is erased, and what was decided stays provable."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import structlog

from tests.support.api import RunningApi, done, running_api

NAME, EMAIL = "Canary-7f3a91 Müller", "canary-7f3a91@example.org"
PERSON = {"kind": "person", "name": NAME, "email": EMAIL, "role": "operator"}


async def test_an_erased_person_is_nowhere_and_the_log_is_as_it_was(tmp_path: Path) -> None:
    with logged() as log:
        async with running_api(tmp_path) as api:
            person = await done(api.admin.post("/v1/principals", json=PERSON, headers={"idempotency-key": "eva"}))
            await provoke_every_kind_of_error(api)
            shown = await done(api.admin.get("/v1/principals"))
            before = await done(api.admin.get("/v1/events?limit=1000"))

            await done(api.admin.post(f"/v1/principals/{person['id']}/erase", json={"reason": "asked for it"}))

            assert {NAME, EMAIL} <= {each[part] for each in shown["items"] for part in ("name", "email")}
            await check_the_person_is_gone(api, person)
            after = await done(api.admin.get("/v1/events?limit=1000"))
            assert after["items"][: len(before["items"])] == before["items"]
        async with running_api(tmp_path) as api:
            await check_the_person_is_gone(api, person)

    assert found_in(tmp_path) == []
    assert not any(each in log.getvalue() for each in (NAME, EMAIL, "7f3a91"))


async def test_before_erasure_a_name_is_in_no_file_as_plain_text_either(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        await done(api.admin.post("/v1/principals", json=PERSON, headers={"idempotency-key": "eva"}))

        assert found_in(tmp_path) == []


async def check_the_person_is_gone(api: RunningApi, person: dict[str, str]) -> None:
    principals = await done(api.admin.get("/v1/principals"))
    erased = next(each for each in principals["items"] if each["id"] == person["id"])
    assert (erased["name"], erased["email"], erased["is_erased"]) == (None, None, True)
    async with api.client(person["token"]) as was:
        assert (await was.get("/v1/models")).status_code == httpx.codes.UNAUTHORIZED
    repeated = await api.admin.post("/v1/principals", json=PERSON, headers={"idempotency-key": "eva"})
    assert (repeated.status_code, repeated.json()["code"]) == (409, "answer-erased")
    (refused,) = (await api.documents("principal")).values()
    assert (refused["id"], refused["name"], refused["email"]) == (person["id"], None, None)


async def provoke_every_kind_of_error(api: RunningApi) -> None:
    for body in ({**PERSON, "role": NAME}, {**PERSON, NAME: EMAIL}, {**PERSON, "name": [NAME]}):
        assert (await api.admin.post("/v1/principals", json=body)).status_code == httpx.codes.BAD_REQUEST
    await api.admin.get("/v1/models", params={"query": NAME})
    await api.admin.get("/v1/rollouts", params={"limit": NAME})


def found_in(folder: Path) -> list[str]:
    wanted = [NAME.encode(), EMAIL.encode(), b"7f3a91"]
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(each in path.read_bytes() for each in wanted)
    ]


@contextlib.contextmanager
def logged() -> Iterator[io.StringIO]:
    """Collect everything that the API logs."""
    log = io.StringIO()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
    try:
        yield log
    finally:
        structlog.reset_defaults()
