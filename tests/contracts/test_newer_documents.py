"""Whoever follows documents reads those of a newer release: what it can't understand is left out, not the rest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from infra.kafka.serving_state import Documents
from schemas.documents.kinds import DOCUMENTS
from schemas.documents.records import Removed, StateRecord
from serving.gateway.resources import everything, update_for
from serving.gateway.routing_state import RoutingSnapshot
from serving.gateway.routing_table import RoutingTable
from tests.support.documents import DocumentsOfLog
from tests.support.log_story import log_story
from workers.autoscaler.picture import Picture as AutoscalerPicture
from workers.drift_watch.picture import Picture as DriftPicture
from workers.rollout_judge.state import Moment, Picture
from workers.serving_agent.desired import DesiredState

Records = Sequence[StateRecord | Removed]


def story() -> Records:
    documents = DocumentsOfLog()
    return [record for event in log_story() for record in documents.after(event.envelope, position=event.position)]


STORY = story()


def judge(records: Records) -> object:
    """Return each picture that the judge has of the rollouts, in their order."""
    picture, pictures = Picture(), []
    for record in records:
        picture.take(Documents(records=(record,), is_all=False), Moment(seen_s=0.0, now_ms=0, is_live=True))
        if picture.rollouts not in pictures:
            pictures.append(dict(picture.rollouts))
    return pictures


def gateway(records: Records) -> object:
    """Return what Envoy is told in the end."""
    table = RoutingTable(RoutingSnapshot())
    for record in records:
        update_for(table.take(Documents(records=(record,), is_all=False)), table)
    return {(each.type_url, each.name, each.version) for each in update_for(everything(table), table).resources}


def agent(records: Records) -> object:
    """Return what is wanted in the end."""
    state = DesiredState(agent_id="agent", region="local")
    for record in records:
        state.take(Documents(records=(record,), is_all=False))
    return state.deployments, state.wanted_replicas(), state.captures, state.announced


def autoscaler(records: Records) -> object:
    """Return what is watched in the end."""
    picture = AutoscalerPicture()
    for record in records:
        picture.take(Documents(records=(record,), is_all=False))
    return picture.watched()


def drift(records: Records) -> object:
    """Return what is watched in the end."""
    picture = DriftPicture()
    for record in records:
        picture.take(Documents(records=(record,), is_all=False))
    return {key: (each, picture.shadows(each) or ()) for key, each in picture.monitors.items()}


READERS: dict[str, Callable[[Records], object]] = {
    "judge": judge,
    "gateway": gateway,
    "agent": agent,
    "autoscaler": autoscaler,
    "drift": drift,
}
VARIANTS: dict[str, dict[str, object]] = {
    "rollout": {"gates": [{"kind": "fairness", "max_gap": 0.1}]},
    "endpoint": {"applied": [{"epoch": "a quarter to nine"}], "name": 7, "id": 7},
    "golden": {"inputs": "random"},
    "instance": {"phase": {"kind": "dreaming"}},
    "keyring": {"keys": "in the vault"},
    "model": {"aliases": ["a", "b"]},
    "monitor": {"terms": {"detector": "tea leaves"}},
    "principal": {"kind": "team"},
    "signature": {"inputs": {"of": "a stream"}},
}
"""What a newer release may say in a document of a known kind."""


def with_members(record: StateRecord | Removed, members: Mapping[str, object]) -> StateRecord | Removed:
    if isinstance(record, Removed):
        return record
    document: dict[str, Any] = msgspec.json.decode(record.document)
    return msgspec.structs.replace(record, document=msgspec.Raw(msgspec.json.encode({**document, **members})))


@pytest.fixture(params=list(READERS.values()), ids=list(READERS))
def reader(request: pytest.FixtureRequest) -> Callable[[Records], object]:
    found: Callable[[Records], object] = request.param
    return found


def test_the_story_has_a_document_of_each_kind_and_something_to_see(reader: Callable[[Records], object]) -> None:
    assert {record.kind for record in STORY if isinstance(record, StateRecord)} == set(DOCUMENTS)
    assert reader(STORY) != reader(())


def test_unknown_members_are_passed_over(reader: Callable[[Records], object]) -> None:
    newer = [with_members(record, {"surprise": {"of": "a newer release"}}) for record in STORY]

    assert reader(newer) == reader(STORY)


def test_documents_of_an_unknown_kind_change_nothing(reader: Callable[[Records], object]) -> None:
    newer: list[StateRecord | Removed] = []
    for record in STORY:
        if isinstance(record, StateRecord):
            newer.append(msgspec.structs.replace(record, kind="experiment", id=f"experiment-{record.position}"))
        newer += [Removed(id=f"experiment-of-{record.position}", position=record.position), record]

    assert reader(newer) == reader(STORY)


@pytest.mark.parametrize("kind", VARIANTS)
def test_an_unknown_variant_is_left_out_and_stops_nobody(reader: Callable[[Records], object], kind: str) -> None:
    newer = [
        with_members(record, VARIANTS[kind]) if isinstance(record, StateRecord) and record.kind == kind else record
        for record in STORY
    ]
    without = [record for record in STORY if isinstance(record, Removed) or record.kind != kind]

    assert reader(newer) == reader(without)
