import msgspec
import pytest

from infra.kafka.serving_state import Documents
from schemas.documents.records import Removed
from schemas.envelope import rfc3339
from tests.support.builders import BASELINE
from tests.unit.workers.rollout_judge.pictures import (
    AT_MS,
    ENDPOINT,
    ROLLOUT,
    active,
    applied,
    at,
    instance,
    later,
    picture,
    rollout,
)


def test_a_rollout_that_was_there_has_been_warming_since_its_start() -> None:
    assert picture(*active()).rollouts[ROLLOUT].started_s == 10.0


def test_a_rollout_that_starts_is_timed_by_when_it_is_seen() -> None:
    warming = rollout(phase="warming", step=None, epoch=None, replicas=2, started_at=rfc3339(AT_MS + 3_600_000))

    watched = picture(warming, moment=at(is_live=True)).rollouts[ROLLOUT]

    assert (watched.rollout.phase, watched.rollout.replicas, watched.started_s) == ("warming", 2, 100.0)


def test_a_document_of_a_control_plane_of_before_is_read() -> None:
    known = rollout()
    members = msgspec.json.decode(bytes(known.document))
    for name in ("max_lag_ms", "allow_signature_change"):
        del members[name]
    earlier = msgspec.structs.replace(known, document=msgspec.Raw(msgspec.json.encode(members)))

    seen = picture(earlier).rollouts[ROLLOUT].rollout

    assert (seen.max_lag_ms, seen.allow_signature_change) == (5_000, False)


def test_a_start_in_the_future_of_the_clock_counts_as_now() -> None:
    assert picture(rollout(started_at=rfc3339(AT_MS + 9_000))).rollouts[ROLLOUT].started_s == 100.0


def test_a_step_is_not_applied_before_the_gateways_say_so() -> None:
    known = picture(*active())

    known.take(later(applied(position=11)), at(is_live=True))
    known.take(later(rollout(position=12, step=1, epoch=7)), at(is_live=True))
    before = known.rollouts[ROLLOUT]
    known.take(later(applied((7, AT_MS), position=13)), at(seen_s=123.0, is_live=True))
    after = known.rollouts[ROLLOUT]

    assert (before.rollout.step, before.rollout.epoch, before.applied_ms, before.applied_s) == (1, 7, None, None)
    assert (after.applied_ms, after.applied_s) == (AT_MS, 123.0)


def test_a_step_that_is_seen_after_its_traffic_is_applied_all_the_same() -> None:
    known = picture(applied((7, AT_MS - 2_000)), rollout(step=1, epoch=7))

    assert (known.rollouts[ROLLOUT].applied_ms, known.rollouts[ROLLOUT].applied_s) == (AT_MS - 2_000, 98.0)


@pytest.mark.parametrize(("endpoint", "epoch"), [(ENDPOINT, 4), ("endpoint-2", 5)])
def test_another_epoch_or_endpoint_being_applied_means_nothing(endpoint: str, epoch: int) -> None:
    known = picture(*active(applied_at=None), applied((epoch, AT_MS), position=11, endpoint=endpoint))

    assert known.rollouts[ROLLOUT].applied_ms is None


def test_the_time_of_a_step_does_not_begin_again_with_another_fact_of_its_endpoint() -> None:
    known = picture(*active())
    before = known.rollouts[ROLLOUT]

    known.take(later(applied((5, AT_MS - 60_000), position=11)), at(seen_s=200.0, is_live=True))
    known.take(later(rollout(position=12, phase="paused")), at(seen_s=201.0, is_live=True))
    after = known.rollouts[ROLLOUT]

    assert after.rollout.phase == "paused"
    assert msgspec.structs.replace(after, rollout=before.rollout) == before


def test_instances_of_the_candidate_come_and_go() -> None:
    known = picture(*active())

    known.take(later(instance("instance-2", position=11)), at())
    known.take(later(instance("instance-3", position=12, deployment_id=BASELINE)), at())
    more = known.rollouts[ROLLOUT].instances
    known.take(later(Removed(id="instance-1", position=13)), at())

    assert more == {"instance-1", "instance-2"}
    assert known.rollouts[ROLLOUT].instances == {"instance-2"}


def test_an_instance_that_was_given_up_is_a_failure_of_the_candidate_until_it_is_back() -> None:
    failed = instance("instance-1", position=11, phase="failed", code="wrong-digest", reason="it differs")
    known = picture(*active(), failed)
    watched = known.rollouts[ROLLOUT]
    known.take(later(instance("instance-1", position=12)), at())

    assert (watched.instances, watched.failure) == (frozenset(), "wrong-digest: it differs")
    assert (known.rollouts[ROLLOUT].instances, known.rollouts[ROLLOUT].failure) == (frozenset({"instance-1"}), None)


@pytest.mark.parametrize("phase", ["completed", "aborted"])
def test_a_rollout_that_is_over_is_forgotten(phase: str) -> None:
    assert picture(*active(), rollout(position=11, phase=phase)).rollouts == {}


def test_a_rollout_whose_document_is_removed_is_forgotten() -> None:
    known = picture(*active())

    known.take(later(Removed(id=ROLLOUT, position=11)), at())

    assert known.rollouts == {}


def test_what_is_not_among_all_documents_is_not_there() -> None:
    known = picture(*active(), rollout(id="rollout-2"), instance("instance-2"))

    known.take(Documents(records=active(), is_all=True), at(seen_s=500.0))

    assert known.rollouts == picture(*active()).rollouts


def test_a_document_of_a_newer_release_is_passed_over() -> None:
    newer = rollout(position=11)
    document = {**msgspec.json.decode(newer.document), "gates": [{"kind": "fairness"}]}

    known = picture(*active(), msgspec.structs.replace(newer, document=msgspec.Raw(msgspec.json.encode(document))))

    assert known.rollouts == picture(*active()).rollouts
