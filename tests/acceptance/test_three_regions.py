"""Three regions on one machine, each with its gateway and live traffic: callers do not notice what is lost."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import msgspec
import pytest

from rollbook import Rollbook
from rollbook.resources import Canary, CanaryStep, Endpoint, ErrorRateGate, FailoverPolicy
from tests.support.digits_service import register_versions
from tests.support.eventually import eventually
from tests.support.region_traffic import RegionTraffic, region_traffic
from tests.support.stack import RunningStack, running_stack

pytestmark = pytest.mark.timeout(2_000)
EU, US, AP = REGIONS = ("eu-west", "us-east", "ap-south")
NAME = "digits"
WITHIN_S = 120.0
# Its second step does not end before the test does.
STEPS = Canary(
    steps=[
        CanaryStep(weight_percent=weight, min_duration_ms=shortest_ms, max_duration_ms=1_200_000)
        for weight, shortest_ms in ((50, 1_000), (60, 600_000), (100, 0))
    ],
    bake_time_ms=600_000,
)
GATE = ErrorRateGate(max_increase=0.5, min_requests=10)
STARTED, ENDED = "endpoints.FailoverStarted.v1", "endpoints.FailoverEnded.v1"


class Regions(msgspec.Struct, frozen=True, kw_only=True):
    """Digits/1 runs twice in two regions, digits/2 once in one; the third region has a gateway alone."""

    stack: RunningStack
    rollbook: Rollbook
    first: str
    second: str

    @property
    def endpoint(self) -> Endpoint:
        return self.rollbook.endpoints.get(NAME)

    def is_whole(self) -> bool:
        """Return whether all instances are announced and no one stands in for others."""
        states = {deployment.state for deployment in self.endpoint.deployments}
        return states == {"ready"} and not self.endpoint.failovers

    @contextmanager
    def traffic(self) -> Iterator[RegionTraffic]:
        """Send requests to all three gateways, from a whole state on."""
        eventually(self.is_whole, "all instances are there", within_s=WITHIN_S, poll_s=0.5)
        urls = {region: self.stack.gateway_of(region) for region in REGIONS}
        token = self.rollbook.inference_tokens.mint([NAME]).token
        with region_traffic(urls, endpoint=NAME, token=token) as traffic:
            soon(lambda: traffic.comes_from(EU, region=EU, version=f"{NAME}/1"), "answers of the own region")
            soon(lambda: traffic.comes_from(US, region=US, version=f"{NAME}/1"), "answers of the own region")
            yield traffic

    def kill_engines(self, deployment_id: str, *regions: str) -> None:
        for region in regions:
            for engine in self.stack.engines(deployment_id, agent=region):
                with suppress(ProcessLookupError):
                    os.kill(engine.pid, signal.SIGKILL)

    def lose_engines(self, deployment_id: str, *regions: str, after: int, until: Callable[[], bool]) -> None:
        """Kill engines, and those that come back, until others answer, and so long that it is told as a failover."""

        def is_told() -> bool:
            self.kill_engines(deployment_id, *regions)
            return until() and bool(self.events(STARTED, after=after, region=regions[0]))

        soon(is_told, "answers of others and the failover on the log")

    def events(self, event_type: str, *, after: int, region: str) -> list[dict[str, Any]]:
        found = self.rollbook.events(after=after, event_type=event_type, stream=self.endpoint.id, limit=1_000)
        return [each.event["data"] for each in found if each.event["data"]["region"] == region]

    def position(self) -> int:
        """Return the position of the log's last event."""
        last = 0
        while page := self.rollbook.events(after=last, limit=1_000):
            last = page[-1].position
        return last


def soon(look: Callable[[], object], what: str) -> None:
    eventually(look, what, within_s=WITHIN_S, poll_s=0.1)


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regions]:
    with ExitStack() as parts:
        directory = tmp_path_factory.mktemp("regions")
        stack = parts.enter_context(running_stack(directory / "data", regions=REGIONS))
        rollbook = parts.enter_context(stack.client())
        register_versions(rollbook, NAME, directory)
        endpoint = rollbook.endpoints.create(NAME, version=f"{NAME}/1", replicas=2, regions=[EU, US])
        backup = rollbook.endpoints.deploy(NAME, f"{NAME}/2", regions=[EU])
        yield Regions(stack=stack, rollbook=rollbook, first=endpoint.deployments[0].id, second=backup.id)


def test_each_region_has_its_gateway_and_its_agent(regions: Regions) -> None:
    programs = {(one.name.split("-")[0], one.region): one for one in regions.stack.status.programs}

    for region in REGIONS:
        assert {name for name, where in programs if where == region} == {"follower", "envoy", "shipper", "agent"}
    assert len({regions.stack.gateway_of(region) for region in REGIONS}) == 3
    soon(regions.is_whole, "all instances are there")
    where = {instance.region for deployment in regions.endpoint.deployments for instance in deployment.instances}
    assert where == {EU, US}


@pytest.mark.parametrize("host", ["of which the agent lives", "that is gone with its agent"])
def test_a_region_loses_all_its_instances_and_nobody_notices(regions: Regions, host: str) -> None:
    with regions.traffic() as traffic, ExitStack() as gone:
        after = regions.position()
        if host == "that is gone with its agent":
            gone.enter_context(regions.stack.paused("agent"))

        regions.lose_engines(regions.first, EU, after=after, until=lambda: traffic.comes_from(EU, region=US))
        gone.close()
        soon(lambda: regions.events(ENDED, after=after, region=EU), "its end on the log")
        soon(lambda: traffic.comes_from(EU, region=EU), "answers of the own region again")

    assert traffic.failures == []
    (begun,) = regions.events(STARTED, after=after, region=EU)
    assert (begun["deployment_id"], begun["from_region"]) == (regions.first, EU)
    assert (begun["to_deployment_id"], begun["to_region"]) == (regions.first, US)
    # The agent withdraws them within moments, and what is told is what was so when it had lasted a second.
    assert begun["code"] == "instances-unreachable" or (
        host == "of which the agent lives" and begun["code"] == "no-instance"
    )
    assert len(regions.events(ENDED, after=after, region=EU)) == 1
    assert regions.events(STARTED, after=after, region=US) == []


@pytest.fixture
def first_again(regions: Regions) -> Iterator[None]:
    yield
    if regions.endpoint.allocations[0].deployment_id != regions.first:
        regions.rollbook.endpoints.set_traffic(NAME, {regions.first: 100}, reason="as before the test")


@pytest.mark.usefixtures("first_again")
def test_a_region_that_is_cut_off_serves_its_last_good_state_and_catches_up(regions: Regions) -> None:
    with regions.traffic() as traffic:
        after = regions.position()
        old = str(regions.endpoint.epoch)
        with ExitStack() as cut:
            for name in ("follower", "shipper", "agent"):
                cut.enter_context(regions.stack.paused(f"{name}-{US}"))
            shifted = regions.rollbook.endpoints.set_traffic(NAME, {regions.second: 100}, reason="try the second")
            soon(lambda: _applied(regions, shifted, EU), "the change in one region")
            soon(lambda: _applied(regions, shifted, AP), "the change in another region")
            seen = len(traffic.answers[US])
            soon(lambda: len(traffic.answers[US]) > seen + 20, "answers of the region that is cut off")
            assert {(answer.status, answer.epoch) for answer in traffic.last(US)} == {(200, old)}
            assert not _applied(regions, shifted, US)
        soon(lambda: _applied(regions, shifted, US), "the change in the region that was cut off")
        soon(lambda: traffic.comes_from(US, version=f"{NAME}/2"), "answers of the other version")
        back = regions.rollbook.endpoints.set_traffic(NAME, {regions.first: 100}, reason="back")
        soon(lambda: _applied(regions, back, US), "the change back")
        soon(lambda: traffic.comes_from(US, region=US, version=f"{NAME}/1"), "answers as before")

    assert traffic.failures == []
    # What stands in for a deployment that was never there is no failover.
    assert regions.events(STARTED, after=after, region=EU) == []


def _applied(regions: Regions, shifted: Endpoint, region: str) -> bool:
    found = regions.rollbook.events(event_type="endpoints.TrafficApplied.v1", stream=shifted.id, limit=1_000)
    return any(
        each.event["data"]["epoch"] == shifted.epoch and each.event["data"]["region"] == region for each in found
    )


@contextmanager
def cut_off(regions: Regions) -> Iterator[ExitStack]:
    """Cut a region's gateway off, and what it records, until the stack of contexts is closed."""
    with ExitStack() as cut:
        for name in ("follower", "shipper"):
            cut.enter_context(regions.stack.paused(f"{name}-{US}"))
        yield cut


@contextmanager
def rolling_out(regions: Regions, **plan: Any) -> Iterator[str]:  # noqa: ANN401
    """Roll the second version out where the first serves, and abort it in the end."""
    rollouts = regions.rollbook.rollouts
    started = rollouts.start(NAME, f"{NAME}/2", strategy=STEPS, gates=[GATE], region_grace_ms=1_000, **plan)
    try:
        yield started.id
    finally:
        rollouts.abort(started.id, reason="the test is over")
        eventually(regions.is_whole, "all is as before", within_s=WITHIN_S, poll_s=0.5)


def _kinds(regions: Regions, rollout_id: str) -> list[str]:
    events = regions.rollbook.events(stream=rollout_id, limit=1_000)
    return [each.event["type"].split(".")[1] for each in events]


def test_a_step_waits_for_a_region_that_is_cut_off_and_begins_when_it_is_back(regions: Regions) -> None:
    rollouts = regions.rollbook.rollouts
    with regions.traffic() as traffic, cut_off(regions) as cut, rolling_out(regions) as rollout_id:
        soon(lambda: rollouts.get(rollout_id).held_by, "the step that is held")
        held, serving = rollouts.get(rollout_id), {each.region: each for each in regions.endpoint.regions}
        cut.close()
        soon(lambda: "StepReleased" in _kinds(regions, rollout_id), "the step that begins")
        soon(lambda: rollouts.get(rollout_id).step == 1, "the next step")

    assert traffic.failures == []
    (away,) = held.held_by
    assert (held.phase, held.step, away.region, away.epoch) == ("stepping", 0, US, serving[US].epoch)
    assert held.reason.startswith("Held at 50 %: region us-east has been behind since ")
    assert serving[EU].epoch == serving[AP].epoch == held.epoch
    kinds = _kinds(regions, rollout_id)
    assert kinds.index("StepHeld") < kinds.index("StepReleased") < kinds.index("StepJudged")


def test_a_region_that_is_excused_is_gone_without_and_returns_at_the_current_epoch(regions: Regions) -> None:
    rollouts = regions.rollbook.rollouts
    excuse = {"when_region_away": "excuse"}
    with regions.traffic() as traffic, cut_off(regions) as cut, rolling_out(regions, **excuse) as rollout_id:
        soon(lambda: rollouts.get(rollout_id).step == 1, "the next step")
        without = rollouts.get(rollout_id)
        cut.close()
        soon(lambda: regions.endpoint.regions[-1].behind_since is None, "the region that is back")
        back = regions.endpoint
        soon(lambda: traffic.last(US)[-1].epoch == str(back.epoch), "answers of the current epoch")

    assert traffic.failures == []
    assert [each.region for each in without.excused] == [US]
    assert without.reason == "Raised to 60 %: both gates pass at 50 %, without us-east."
    assert {each.region: each.epoch for each in back.regions} == dict.fromkeys(REGIONS, without.epoch)
    assert "StepHeld" not in _kinds(regions, rollout_id)
    (judged,) = regions.rollbook.events(event_type="rollouts.StepJudged.v1", stream=rollout_id, limit=10)
    measurement = judged.event["data"]["measurement"]
    assert [each["region"] for each in measurement["excused"]] == [US]
    assert US not in {each["region"] for each in measurement.get("missing", ())}


def test_the_backup_version_answers_while_the_version_is_gone_everywhere(regions: Regions) -> None:
    policy = FailoverPolicy(backup_deployment_id=f"{NAME}/2", backup_regions=[US, EU])
    regions.rollbook.endpoints.set_failover_policy(NAME, policy, reason="test")
    try:
        with regions.traffic() as traffic:
            after = regions.position()

            regions.lose_engines(
                *(regions.first, EU, US),
                after=after,
                until=lambda: all(_saw(traffic, gateway, f"{NAME}/2") for gateway in REGIONS),
            )
            soon(lambda: regions.events(ENDED, after=after, region=EU), "its end on the log")
            soon(lambda: all(traffic.comes_from(each, version=f"{NAME}/1") for each in REGIONS), "the version again")
        begun = regions.events(STARTED, after=after, region=EU)
    finally:
        eventually(regions.is_whole, "all is as before", within_s=WITHIN_S, poll_s=0.5)
        regions.rollbook.endpoints.set_failover_policy(NAME, FailoverPolicy(), reason="test")

    assert traffic.failures == []
    assert (begun[0]["deployment_id"], begun[0]["to_deployment_id"], begun[0]["to_region"]) == (
        regions.first,
        regions.second,
        EU,
    )


def _saw(traffic: RegionTraffic, gateway: str, version: str) -> bool:
    return any(answer.version == version for answer in traffic.answers[gateway])
