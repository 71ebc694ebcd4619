"""Whatever may happen to endpoints, in whatever order, the gateway can be told of it, and part by part as in one."""

from collections.abc import Iterable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events.endpoints import (
    DeploymentPlaced,
    DeploymentRemoved,
    FailoverPolicy,
    FailoverPolicySet,
    FailoverStarted,
    ScalingPolicySet,
    ShadowRemoved,
    ShadowSet,
)
from schemas.events.registry import ModelRegistered, VersionAliasSet
from schemas.scaling import ScalingPolicy
from serving.gateway.priorities import Home
from serving.gateway.resources import Resource, everything, update_for
from serving.gateway.routing_table import RoutingTable
from serving.gateway.state_parts import TOKENS, Key, Part
from tests.support.routing import NOTHING_KNOWN, Log, added, announced, created, shifted, snapshot, withdrawn

ENDPOINT = "endpoint-1"
HERE, THERE = "local", "far"
MODEL = "model-1"
DEPLOYMENTS = ("d1", "d2", "d3")
BUCKETS = 10_000

Step = tuple[str, str, str]
NO_RULES: Key = (TOKENS, "")


class Story:
    """One endpoint whose events keep the rules of its aggregate, and what Envoy was told of them."""

    def __init__(self) -> None:
        self.log = Log()
        self.home = Home(region=HERE)
        self.table = RoutingTable(NOTHING_KNOWN, home=self.home)
        self.told = told(update_for(everything(self.table), self.table).resources)
        self.kept: dict[Key, Part] = {}
        self.there: set[str] = set()
        self.serving: set[str] = set()
        self.shadow = self.backup = ""
        self._tell(MODEL, ModelRegistered(name="digits", description="", tags={}))
        self._tell(ENDPOINT, created())

    def step(self, what: str, deployment: str, other: str) -> None:
        """Do what the aggregate would allow; leave out the rest."""
        match what:
            case "add" | "add without gRPC" if deployment not in self.there:
                number = DEPLOYMENTS.index(deployment) + 1
                self._tell(ENDPOINT, added(deployment, number=number, speaks_grpc=what == "add"))
                self.there.add(deployment)
            case "remove" if deployment in self.there - self.serving - {self.shadow, self.backup}:
                self._tell(ENDPOINT, DeploymentRemoved(deployment_id=deployment, reason="test"))
                self.there.remove(deployment)
            case "announce" | "announce there" if deployment in self.there:
                region = HERE if what == "announce" else THERE
                event = announced(ENDPOINT, deployment, port=1, region=region)
                self._tell(f"instance-{deployment}-{region}", event)
            case "withdraw" | "withdraw there":
                region = HERE if what == "withdraw" else THERE
                self._tell(f"instance-{deployment}-{region}", withdrawn(ENDPOINT, deployment))
            case "shift" if {deployment, other} <= self.there:
                self._shift(deployment, other)
            case _:
                if deployment in self.there:
                    self._choose(what, deployment)

    def unlike_after_a_start(self) -> set[tuple[str, str]]:
        """Return the resources of which a follower that starts now would tell Envoy otherwise than this one has."""
        anew = RoutingTable(snapshot(self.table), home=self.home)
        return {key for key, _ in self.told.items() ^ told(update_for(everything(anew), anew).resources).items()}

    def keep(self) -> None:
        """Write down what changed, as a follower does."""
        changed = self.table.unkept()
        for key, part in changed.parts.items():
            self.kept.pop(key, None)
            if part is not None:
                self.kept[key] = part
        self.table.has_kept(changed)

    def _shift(self, deployment: str, other: str) -> None:
        split = {deployment: [(0, BUCKETS)]}
        if other != deployment:
            split = {deployment: [(0, BUCKETS // 2)], other: [(BUCKETS // 2, BUCKETS)]}
        self._tell(ENDPOINT, shifted(**split))
        self.serving = set(split)
        if self.shadow in split:
            self._tell(ENDPOINT, ShadowRemoved(deployment_id=self.shadow, reason="it serves"))
            self.shadow = ""

    def _choose(self, what: str, deployment: str) -> None:
        match what:
            case "shadow" if deployment not in self.serving:
                self._tell(ENDPOINT, ShadowSet(deployment_id=deployment, percent=50.0, reason="test"))
                self.shadow = deployment
            case "no shadow" if self.shadow:
                self._tell(ENDPOINT, ShadowRemoved(deployment_id=self.shadow, reason="test"))
                self.shadow = ""
            case "back up":
                self._tell(ENDPOINT, FailoverPolicySet(policy=policy(deployment), reason="test"))
                self.backup = deployment
            case "no back-up":
                self._tell(ENDPOINT, FailoverPolicySet(policy=policy(None), reason="test"))
                self.backup = ""
            case "fail over":
                self._tell(ENDPOINT, failover(deployment))
            case "place":
                self._tell(ENDPOINT, DeploymentPlaced(deployment_id=deployment, regions=(THERE,), reason="test"))
            case "sleep" | "wake":
                scaling = ScalingPolicy(min_replicas=0 if what == "sleep" else 1, in_flight=1.0)
                self._tell(ENDPOINT, ScalingPolicySet(policy=scaling, reason="test"))
            case "alias":
                number = DEPLOYMENTS.index(deployment) + 1
                alias = VersionAliasSet(alias="best", version_id=f"version-{number}", number=number, reason="test")
                self._tell(MODEL, alias)
            case _:
                pass

    def _tell(self, stream: str, event: msgspec.Struct) -> None:
        change = self.table.take(self.log.append(stream, event))
        update = update_for(change, self.table)
        for each in update.removed:
            self.told.pop(each, None)
        self.told |= told(update.resources)


def told(resources: Iterable[Resource]) -> dict[tuple[str, str], str]:
    return {(each.type_url, each.name): each.version for each in resources}


def policy(backup: str | None) -> FailoverPolicy:
    return FailoverPolicy(backup_deployment_id=backup, backup_regions=(THERE,) if backup else None)


def failover(deployment: str) -> FailoverStarted:
    return FailoverStarted(
        region=HERE,
        deployment_id=deployment,
        from_region=HERE,
        to_deployment_id=deployment,
        to_region=THERE,
        code="no-instance",
        reason="test",
        observed_at="2026-01-02T03:04:05.678Z",
    )


STEPS = (
    *("add", "add without gRPC", "remove", "announce", "announce there", "withdraw", "withdraw there", "shift"),
    *("shadow", "no shadow", "back up", "no back-up", "fail over", "place", "sleep", "wake", "alias"),
)


one = st.sampled_from(DEPLOYMENTS)
# Most steps do nothing before something serves.
beginnings = st.sampled_from(
    [
        [(add, "d1", ""), ("announce", "d1", ""), ("shift", "d1", "d1"), (other, "d2", ""), ("announce", "d2", "")]
        for add in STEPS[:2]
        for other in STEPS[:2]
    ]
)


@settings(max_examples=80)
@given(beginnings, st.lists(st.tuples(st.sampled_from(STEPS), one, one), max_size=25))
def test_envoy_is_told_of_each_step_what_a_follower_that_starts_then_would_tell(
    beginning: list[Step], steps: list[Step]
) -> None:
    story = Story()
    for step in (*beginning, *steps):
        story.step(*step)

        assert story.unlike_after_a_start() == set(), step


@given(beginnings, st.lists(st.tuples(st.sampled_from(STEPS), one, one, st.booleans()), max_size=25))
def test_what_changed_adds_up_to_everything(beginning: list[Step], steps: list[tuple[str, str, str, bool]]) -> None:
    story = Story()
    for step in beginning:
        story.step(*step)
    for what, deployment, other, keeps in steps:
        story.step(what, deployment, other)
        if keeps:
            story.keep()

    story.keep()

    everything = story.table.everything().parts
    assert story.kept | {NO_RULES: everything[NO_RULES]} == everything
    assert story.table.unkept().parts == {}
