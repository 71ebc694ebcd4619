"""Domain events -> entries of a rollout's timeline, each with a sentence that people can read."""

from functools import singledispatch

import msgspec

from projections.messages import Message
from projections.rollout_timeline.rows import ROLLOUT_TIMELINE, Entry
from projections.tables import Rows
from schemas.catalogue import read_data
from schemas.envelope import Envelope, RecordedEvent, unix_ms
from schemas.events import endpoints, rollouts


def timeline_rows(recorded: RecordedEvent, message: Message) -> Rows:
    """Return the entry of an event, or no row when the event is not a rollout's."""
    envelope = recorded.envelope
    entry = entry_of(read_data(envelope.type, envelope.data), envelope)
    if entry is None:
        return Rows(ROLLOUT_TIMELINE, [])
    where = {
        "workspace": envelope.workspace,
        "position": recorded.position,
        "at": unix_ms(envelope.time),
        "stream": envelope.stream,
        "stream_version": envelope.streamversion,
        "type": envelope.type,
        "kafka_partition": message.partition,
        "kafka_offset": message.offset,
    }
    return Rows(ROLLOUT_TIMELINE, [msgspec.structs.asdict(entry) | where])


@singledispatch
def entry_of(event: object, envelope: Envelope) -> Entry | None:  # noqa: ARG001  the fallback of the dispatch
    """Say what an event means for a rollout; None for all that are not registered below."""
    return None


@entry_of.register
def _(event: rollouts.RolloutStarted, envelope: Envelope) -> Entry:
    steps = ", ".join(f"{step.weight_percent:g} %" for step in event.strategy.steps)
    return Entry(
        rollout_id=envelope.stream,
        endpoint_id=event.endpoint_id,
        summary=(
            f"Rollout of {_name(event.candidate)} on {event.endpoint_name} started against {_name(event.baseline)}: "
            f"{steps}, {_counted(len(event.gates), 'gate')}"
        ),
    )


@entry_of.register
def _(event: rollouts.CandidateWarmed, envelope: Envelope) -> Entry:
    return Entry(
        rollout_id=envelope.stream,
        summary=f"Candidate is warm: {_counted(event.ready_instances, 'instance')} ready",
    )


@entry_of.register
def _(event: rollouts.StepStarted, envelope: Envelope) -> Entry:
    return Entry(
        rollout_id=envelope.stream,
        step=event.step,
        weight_percent=event.weight_percent,
        epoch=event.epoch,
        summary=f"Step {event.step} started: candidate gets {event.weight_percent:g} %",
        reason=event.reason,
    )


@entry_of.register
def _(event: rollouts.StepHeld | rollouts.StepReleased | rollouts.RegionsExcused, envelope: Envelope) -> Entry:
    match event:
        case rollouts.RegionsExcused(regions=regions):
            summary = f"Step {event.step} goes on without {', '.join(each.region for each in regions)}"
        case rollouts.StepHeld(regions=regions):
            summary = f"Step {event.step} waits for {', '.join(each.region for each in regions)}"
        case _:
            summary = f"Step {event.step} has begun: it is served everywhere"
    return Entry(rollout_id=envelope.stream, step=event.step, epoch=event.epoch, summary=summary, reason=event.reason)


@entry_of.register
def _(event: rollouts.BakeHeld, envelope: Envelope) -> Entry:
    return Entry(
        rollout_id=envelope.stream,
        step=event.measurement.step,
        epoch=event.measurement.epoch,
        summary="Still baking: its time is over, and records are missing",
        reason=event.reason,
    )


@entry_of.register
def _(event: rollouts.StepJudged, envelope: Envelope) -> Entry:
    verdicts = ", ".join(f"{verdict.gate} {verdict.outcome}" for verdict in event.verdicts)
    return Entry(
        rollout_id=envelope.stream,
        step=event.measurement.step,
        epoch=event.measurement.epoch,
        summary=f"Step {event.measurement.step} judged: {event.decision} ({verdicts or 'no gates'})",
        reason=event.reason,
        verdicts=msgspec.json.encode(event.verdicts).decode(),
    )


@entry_of.register
def _(event: rollouts.RolloutPaused, envelope: Envelope) -> Entry:
    return Entry(rollout_id=envelope.stream, step=event.step, summary="Paused", reason=event.reason)


@entry_of.register
def _(event: rollouts.RolloutResumed, envelope: Envelope) -> Entry:
    return Entry(rollout_id=envelope.stream, step=event.step, summary="Resumed", reason=event.reason)


@entry_of.register
def _(event: rollouts.RolloutPromoted, envelope: Envelope) -> Entry:
    return Entry(
        rollout_id=envelope.stream,
        epoch=event.epoch,
        weight_percent=100.0,
        summary="Promoted: candidate serves everything",
        reason=event.reason,
    )


@entry_of.register
def _(event: rollouts.RolloutCompleted, envelope: Envelope) -> Entry:
    return Entry(rollout_id=envelope.stream, summary="Completed: the baseline is retired", reason=event.reason)


@entry_of.register
def _(event: rollouts.RolloutAborted, envelope: Envelope) -> Entry:
    moved = "baseline serves everything again" if event.epoch is not None else "traffic had never moved"
    return Entry(
        rollout_id=envelope.stream,
        step=event.step,
        epoch=event.epoch,
        weight_percent=0.0,
        summary=f"Aborted: {moved}",
        reason=event.reason,
    )


@entry_of.register
def _(event: endpoints.EndpointReserved, envelope: Envelope) -> Entry:
    return Entry(rollout_id=event.rollout_id, endpoint_id=envelope.stream, summary="Endpoint reserved for the rollout")


@entry_of.register
def _(event: endpoints.EndpointReleased, envelope: Envelope) -> Entry:
    return Entry(rollout_id=event.rollout_id, endpoint_id=envelope.stream, summary="Endpoint released by the rollout")


@entry_of.register
def _(event: endpoints.TrafficShifted, envelope: Envelope) -> Entry | None:
    if event.rollout_id is None:
        return None
    shares = ", ".join(f"{one.deployment_id} {one.weight_percent:g} %" for one in event.allocations)
    return Entry(
        rollout_id=event.rollout_id,
        endpoint_id=envelope.stream,
        step=event.step,
        epoch=envelope.streamversion,
        summary=f"Traffic set to {shares}",
        reason=event.reason,
    )


@entry_of.register
def _(event: endpoints.TrafficApplied, envelope: Envelope) -> Entry:
    return Entry(
        rollout_id="",
        endpoint_id=envelope.stream,
        epoch=event.epoch,
        summary=f"A gateway of region {event.region} serves epoch {event.epoch}",
    )


def _name(version: endpoints.VersionReference) -> str:
    return f"{version.model_name}/{version.number}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
