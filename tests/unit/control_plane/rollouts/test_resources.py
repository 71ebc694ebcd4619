import pytest

from control_plane.catalogue.kept import kept_stream
from control_plane.rollouts.commands import AbortRollout, Command, ReportWarmUp
from control_plane.rollouts.handlers import command_rollout
from control_plane.rollouts.queries import get_rollout
from control_plane.rollouts.resources import ROLLOUTS
from tests.support.serving import begin, serving_log
from tests.support.spec import WORKSPACE


@pytest.mark.parametrize(
    ("last", "phase", "is_document"),
    [
        (ReportWarmUp(ready_instances=1, elapsed_ms=100), "stepping", True),
        (AbortRollout(reason="stop"), "aborted", False),
    ],
)
def test_a_rollout_is_a_document_until_it_is_over_and_is_found_ever_after(
    last: Command, phase: str, *, is_document: bool
) -> None:
    log = serving_log()
    rollout_id = begin(log).id
    log.run(lambda unit: command_rollout(unit, rollout_id, last))

    kept = kept_stream(ROLLOUTS, log.load(ROLLOUTS, rollout_id).state, stream=rollout_id)

    assert kept.is_document == is_document
    assert get_rollout(log.catalogue, rollout_id, workspace=WORKSPACE).phase == phase
