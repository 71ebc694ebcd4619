"""The programs of an earlier release read the log of this one; `at_3262325/README.md` says where their code is from."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from schemas.envelope import RecordedEvent
from tests.support.earlier_release import KEPT, unpack_reader
from tests.support.log_story import log_story, with_data

SAMPLES = sorted(Path(__file__).with_name("events").glob("*.json"))
SINCE = ("batches.", "monitors.", "endpoints.ReplicasChanged.", "endpoints.ScalingPolicySet.", "registry.VersionAlias")
"""Types that it does not know, beside later versions of those that it knows."""
NO_STATE = {"views", "relay", "judge"}
"""Readers that take an event without the ones before it."""
DECODING = {"gateway", "agent", "judge", "views", "catalogue"}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the code of the earlier release."""
    return unpack_reader(tmp_path_factory.mktemp("earlier"))


def stopped(release: Path, log: Sequence[bytes]) -> dict[str, str]:
    """Return what stopped which reader; the others came to the end."""
    done = subprocess.run(
        [sys.executable, str(KEPT / "read_log.py"), str(release)],
        input=b"\n".join(log),
        env={"PYTHONPATH": str(release), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr.decode()
    return {name: why for name, why in msgspec.json.decode(done.stdout, type=dict[str, str | None]).items() if why}


def is_known_to_it(event: RecordedEvent) -> bool:
    return event.envelope.type.endswith(".v1") and not event.envelope.type.startswith(SINCE)


def test_its_programs_read_the_whole_log_of_this_release(release: Path) -> None:
    story = log_story()
    assert {event.envelope.type for event in story if not is_known_to_it(event)} >= {"access.RoleGranted.v2"}

    found = stopped(release, [event.canonical for event in story])

    # Rows are made anew after a restore alone, which is the writer's: it decides on nothing that it can't read.
    assert found.keys() == {"catalogue"}
    assert found["catalogue"].startswith("access.RoleGranted.v2: NewerEventError")


def test_each_sample_of_an_event_is_read_by_it(release: Path) -> None:
    found = stopped(release, [sample.read_bytes().strip() for sample in SAMPLES])

    assert found.keys() & NO_STATE == set()


def test_members_that_it_does_not_know_stop_none_of_them(release: Path) -> None:
    story = [with_data(event, surprise=1) for event in log_story(is_known_to_it)]

    assert stopped(release, [event.canonical for event in story]) == {}


@pytest.mark.parametrize(
    ("type_name", "variant"),
    [
        ("endpoints.DeploymentAdded.v1", {"artifact": {"digest": "sha256:00", "size_bytes": 1, "format": "lora"}}),
        ("rollouts.RolloutStarted.v1", {"gates": [{"kind": "loss"}]}),
    ],
)
def test_a_variant_that_it_does_not_know_stops_those_that_decode(
    release: Path, type_name: str, variant: dict[str, object]
) -> None:
    """It was written before readers passed over such events, which is why they do now."""
    story = [
        with_data(event, **variant) if event.envelope.type == type_name else event
        for event in log_story(is_known_to_it)
    ]

    found = stopped(release, [event.canonical for event in story])

    assert found.keys() == DECODING
    assert all(why.startswith(type_name) for why in found.values())
