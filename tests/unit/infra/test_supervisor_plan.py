from pathlib import Path

import pytest

from infra.errors import CannotStartError
from infra.supervisor.log_file import LogFile
from infra.supervisor.plan import ProgramSpec, RestartPolicy, check_plan
from infra.supervisor.status import cannot_start_reason


def program(name: str, *after: str) -> ProgramSpec:
    return ProgramSpec(name=name, argv=("true",), depends_on=after)


@pytest.mark.parametrize(
    "plan",
    [
        [program("a", "b"), program("b", "a")],
        [program("a", "missing")],
        [program("a"), program("a")],
    ],
)
def test_a_plan_that_cannot_be_started_is_refused(plan: list[ProgramSpec]) -> None:
    with pytest.raises(CannotStartError):
        check_plan(plan)


def test_the_wait_before_a_restart_doubles_up_to_its_ceiling() -> None:
    policy = RestartPolicy(first_seconds=0.1, ceiling_seconds=1.0)

    assert [policy.wait_seconds(deaths) for deaths in (1, 2, 3, 9, 9_999)] == [0.1, 0.2, 0.4, 1.0, 1.0]


def test_the_reason_is_found_among_other_lines() -> None:
    log = 'noise\n{"event": "cannot_start", "reason": "first"}\n{"event": "cannot_start", "reason": "last"}\n[1]\n{'

    assert cannot_start_reason(log) == "last"
    assert cannot_start_reason("noise") is None


def test_a_log_that_grows_too_large_is_cut_and_older_parts_are_bounded(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=10)

    for text in ("first part..", "second part.", "third part..", "short"):
        log.path.write_text(text)
        log.rotate()

    assert log.tail() == "short"
    assert (tmp_path / "a.log.1").read_text() == "third part.."
    assert (tmp_path / "a.log.2").read_text() == "second part."
    assert len(list(tmp_path.iterdir())) == 3
