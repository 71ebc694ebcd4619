"""Files of secrets that are missing or damaged: a refusal to start that says what to do, and errors at run time."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import get_args

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infra.errors import CannotStartError
from schemas.events.access import Duty
from tests.support.api import RunningApi, done, running_api

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROTATION = {"reason": "yearly", "overlap_s": 0}
MINTING = {"endpoints": ["*"]}
KEYS = "events/keys.sqlite"
TOKENS = ("secrets/admin.token", "secrets/agent.token")
OF_THE_FIRST_START = ("secrets/checkpoint-signing.pem", "secrets/inference-signing.pem")
ROTATED = ("secrets/inference-signing-*.pem", "secrets/workspaces/tenant/inference-signing-*.pem")


def _pem(key: object) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]  # whatever kind of key
    return pem


def _removed(path: Path) -> None:
    path.unlink()


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xff\xfe garbage \x00" * 999)


def _a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _unreadable(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser reads everything")
    path.chmod(0)


def _of_another_kind(path: Path) -> None:
    if path.name == "keys.sqlite":
        path.unlink()
        with closing(connect(path)) as connection:
            connection.execute("CREATE TABLE subject_keys (something TEXT)")
    else:
        path.write_bytes(_pem(generate_private_key(SECP256R1())))


def _another_one(path: Path) -> None:
    if path.name == "keys.sqlite":
        path.unlink()
        with closing(connect(path)) as connection:
            connection.execute("CREATE TABLE subject_keys (key_id TEXT PRIMARY KEY, subject TEXT, secret BLOB)")
    else:
        path.write_bytes(_pem(Ed25519PrivateKey.generate()))


DAMAGES = (_emptied, _garbage, _a_directory, _unreadable, _of_another_kind)
CASES = [
    *((path, damage) for path in (KEYS, *TOKENS, *OF_THE_FIRST_START, *ROTATED) for damage in DAMAGES),
    *((path, _removed) for path in (KEYS, *OF_THE_FIRST_START, *ROTATED)),
    *((path, _another_one) for path in (KEYS, *ROTATED)),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def left(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Callable[[Path, str], Path]]:
    """Return what copies a data directory: as after the first start, or with a rotated key and another workspace."""
    folder = tmp_path_factory.mktemp("left")
    async with running_api(folder / "first"):
        pass
    async with running_api(folder / "rotated") as api:
        await done(api.admin.post("/v1/workspaces", json={"name": "tenant"}))
        await done(api.admin.post("/v1/inference-tokens/rotate-key", json=ROTATION))

    def copy(where: Path, secret: str) -> Path:
        shutil.copytree(folder / ("rotated" if secret in ROTATED else "first"), where, dirs_exist_ok=True)
        (path,) = where.glob(secret)
        return path

    yield copy


@pytest.mark.parametrize(
    ("secret", "damage"),
    CASES,
    ids=[f"{path.rpartition('/')[0]}-{Path(path).stem}{each.__name__}" for path, each in CASES],
)
async def test_an_unusable_file_is_a_refusal_to_start_that_says_which_and_what_to_do(
    tmp_path: Path, left: Callable[[Path, str], Path], secret: str, damage: Callable[[Path], None]
) -> None:
    path = left(tmp_path, secret)
    damage(path)

    # Twice: the first one must not have made it look usable.
    for _ in range(2):
        with pytest.raises(CannotStartError) as refusal:
            async with running_api(tmp_path):
                pass

        assert str(path) in str(refusal.value)
        assert "put it back from a backup" in str(refusal.value)
        assert "PRIVATE" not in str(refusal.value)


@pytest.mark.parametrize("secret", TOKENS)
async def test_a_missing_token_is_made_for_another_principal(
    tmp_path: Path, left: Callable[[Path, str], Path], secret: str
) -> None:
    path = left(tmp_path, secret)
    before = path.read_text()
    path.unlink()

    async with running_api(tmp_path) as api:
        # The admin, one for each duty, the one that these tests add, and the new one.
        assert len((await done(api.admin.get("/v1/principals")))["items"]) == len(get_args(Duty)) + 3
        async with api.client(path.read_text()) as made:
            assert (await made.get("/v1/models")).status_code != httpx.codes.UNAUTHORIZED

    assert path.read_text() != before


@pytest.mark.parametrize("secret", [*OF_THE_FIRST_START, *ROTATED, KEYS])
async def test_a_key_whose_loss_is_accepted_is_made_again_or_rotated(
    tmp_path: Path, left: Callable[[Path, str], Path], secret: str
) -> None:
    left(tmp_path, secret).unlink()

    async with running_api(tmp_path, accept_lost_keys=True) as api:
        principals = (await done(api.admin.get("/v1/principals")))["items"]
        assert [each["name"] is None for each in principals] == [secret == KEYS] * len(principals)
        minted = await api.admin.post("/v1/inference-tokens", json=MINTING)
        assert (minted.status_code == httpx.codes.CREATED) == (secret != ROTATED[0])
        inside = {"rollbook-workspace": "tenant"} if secret == ROTATED[1] else {}
        await done(api.admin.post("/v1/inference-tokens/rotate-key", json=ROTATION, headers=inside))
        await done(api.admin.post("/v1/inference-tokens", json=MINTING, headers=inside))


async def test_a_lost_key_is_not_accepted_in_place_of_a_damaged_one(
    tmp_path: Path, left: Callable[[Path, str], Path]
) -> None:
    for secret in (*OF_THE_FIRST_START, KEYS):
        _garbage(left(tmp_path, secret))

        with pytest.raises(CannotStartError):
            async with running_api(tmp_path, accept_lost_keys=True):
                pass


@pytest.mark.parametrize("damage", [_removed, _garbage, _emptied])
async def test_keys_of_names_that_break_while_it_runs_fail_the_commands_that_need_them(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    async with running_api(tmp_path) as api:
        path = tmp_path / KEYS
        shutil.copy(path, tmp_path / "kept")
        damage(path)

        person = {"kind": "person", "name": "Ada", "role": "viewer"}
        refused = [await api.admin.post("/v1/principals", json=person) for _ in range(2)]
        await _still_works(api)

        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(503, "keys-unavailable")}
        assert all(answer.json()["remedy"] for answer in refused)


@pytest.mark.parametrize("damage", [_removed, _garbage, _emptied, _a_directory, _of_another_kind, _another_one])
async def test_a_signing_key_that_breaks_before_it_first_signs_fails_the_minting(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    async with running_api(tmp_path) as api:
        await done(api.admin.post("/v1/inference-tokens/rotate-key", json=ROTATION))
        (path,) = tmp_path.glob(ROTATED[0])
        damage(path)

        refused = await api.admin.post("/v1/inference-tokens", json=MINTING)
        await _still_works(api)
        await done(api.admin.post("/v1/inference-tokens/rotate-key", json=ROTATION))
        await done(api.admin.post("/v1/inference-tokens", json=MINTING))

        assert (refused.status_code, refused.json()["code"]) == (503, "signing-key-missing")


async def test_a_folder_of_secrets_that_takes_no_file_fails_rotations_and_new_workspaces(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        (tmp_path / "secrets").rename(tmp_path / "elsewhere")
        (tmp_path / "secrets").write_text("in the way")

        refused = [
            await api.admin.post("/v1/inference-tokens/rotate-key", json=ROTATION),
            await api.admin.post("/v1/workspaces", json={"name": "tenant"}),
        ]
        await _still_works(api)

        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(503, "keys-unavailable")}


async def _still_works(api: RunningApi) -> None:
    await done(api.admin.post("/v1/models", json={"name": "digits"}))
    await done(api.admin.post("/v1/inference-tokens/revoke", json={"token_id": "any", "reason": "leaked"}))
