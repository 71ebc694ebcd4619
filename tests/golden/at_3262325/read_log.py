"""Reads a log with the code of an earlier release, as each program of it does; run as a program of its own.

Standard input has one event a line, standard output says of each reader how far it came, and what stopped it.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

import schemas
from control_plane.access.aggregate import PRINCIPALS
from control_plane.audit.history import HistoryChecker
from control_plane.catalogue.rebuild import rows_of
from control_plane.endpoints.resources import ENDPOINTS, INSTANCES
from control_plane.event_store.log_file import LoggedEvent
from control_plane.inference_tokens.aggregate import KEYRINGS
from control_plane.registry.resources import MODELS, VERSIONS
from control_plane.relay.record import to_record
from control_plane.rollouts.resources import ROLLOUTS
from projections.domain_log.projector import RegistryProjector
from projections.messages import Message
from schemas.catalogue import decode_data
from schemas.envelope import RecordedEvent, decode
from schemas.topics import REGISTRY_EVENTS
from serving.gateway.resources import update_for
from serving.gateway.routing_state import RoutingSnapshot, TokenRules
from serving.gateway.routing_table import RoutingTable
from workers.rollout_judge.state import Rollouts, after_event
from workers.serving_agent.control_plane import ServingSnapshot
from workers.serving_agent.desired import DesiredState

Reader = Callable[[RecordedEvent], object]
_AGGREGATES = {each.kind: each for each in (ENDPOINTS, INSTANCES, KEYRINGS, MODELS, PRINCIPALS, ROLLOUTS, VERSIONS)}


def gateway() -> Reader:
    table = RoutingTable(RoutingSnapshot(position=0, endpoints=(), instances=(), tokens=TokenRules()))
    return lambda event: update_for(table.apply(event.envelope, position=event.position), table)


def agent() -> Reader:
    state = DesiredState(ServingSnapshot(position=0, endpoints=(), instances=()), agent_id="agent", region="local")
    return lambda event: state.apply(event.envelope, position=event.position)


def judge() -> Reader:
    rollouts: Rollouts = {}

    def read(event: RecordedEvent) -> None:
        nonlocal rollouts
        decoded = decode_data(event.envelope.type, event.envelope.data)
        if decoded is not None:
            rollouts = after_event(rollouts, event, decoded, seen_s=0.0)

    return read


def views() -> Reader:
    return lambda event: RegistryProjector().project(
        Message(
            topic=REGISTRY_EVENTS.name,
            partition=0,
            offset=event.position,
            timestamp_ms=0,
            key=event.envelope.stream.encode(),
            value=event.canonical,
            headers=(("position", str(event.position).encode()),),
        )
    )


def relay() -> Reader:
    return lambda event: to_record(_logged(event))


def audit() -> Reader:
    checker = HistoryChecker("store")
    return lambda event: checker.take(_logged(event))


def catalogue() -> Reader:
    log: list[RecordedEvent] = []

    def read(event: RecordedEvent) -> None:
        log.append(event)
        rows_of(log, _AGGREGATES)

    return read


def _logged(event: RecordedEvent) -> LoggedEvent:
    envelope = event.envelope
    return LoggedEvent(event.position, envelope.stream, envelope.streamversion, envelope.type, event.canonical)


READERS = (gateway, agent, judge, views, relay, audit, catalogue)


def main(release: Path) -> None:
    """Let every reader go through the log until something stops it."""
    assert Path(schemas.__file__ or "").is_relative_to(release), "another release's code was found first"
    log = [
        RecordedEvent(position=position, envelope=decode(line), canonical=line)
        for position, line in enumerate(sys.stdin.buffer.read().splitlines(), start=1)
    ]
    sys.stdout.buffer.write(msgspec.json.encode({reader.__name__: _stopped_at(reader(), log) for reader in READERS}))


def _stopped_at(reader: Reader, log: list[RecordedEvent]) -> str | None:
    for event in log:
        try:
            reader(event)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
            return f"{event.envelope.type}: {error!r}"
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
