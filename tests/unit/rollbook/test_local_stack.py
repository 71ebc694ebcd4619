"""Whether the stack of a directory runs, and to whom its token goes."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rollbook import RollbookError
from rollbook.cli.profile import Profile
from rollbook.local_stack import LocalStack

STATUS = '{"pid": %d, "state": "ready", "programs": [{"name": "api", "state": "ready", "addresses": ["http://a:1"]}]}'


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    for name, text in {"run/status.json": STATUS % os.getpid(), "secrets/admin.token": "rb_own", "lock": "7"}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_pid_that_is_somebody_elses_is_no_stack(data_dir: Path) -> None:
    assert LocalStack(data_dir).running_pid() is None


def test_a_stack_runs_while_its_lock_is_held(data_dir: Path) -> None:
    with (data_dir / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert LocalStack(data_dir).running_pid() == 7


def test_a_status_that_cannot_be_read_says_what_to_do(data_dir: Path) -> None:
    (data_dir / "run" / "status.json").write_text("{")

    with pytest.raises(RollbookError, match="rollbook up"):
        LocalStack(data_dir).status()


@pytest.mark.parametrize(
    ("url", "token"), [(None, "rb_own"), ("http://127.0.0.1:9", "rb_own"), ("http://elsewhere:1", None)]
)
def test_the_token_of_the_stack_stays_on_this_machine(
    data_dir: Path, url: str | None, token: str | None, sent_token: Callable[[Profile], str | None]
) -> None:
    assert sent_token(Profile(data_dir=data_dir, url=url, token=None, workspace=None, as_json=False)) == token


@pytest.fixture
def sent_token() -> Callable[[Profile], str | None]:
    def sent(profile: Profile) -> str | None:
        with profile.client() as client:
            header = client._connection._http.headers.get("authorization")  # noqa: SLF001  nothing is sent here
            return header.removeprefix("Bearer ") if header else None

    return sent
