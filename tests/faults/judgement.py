"""Whether a failed call may have failed: only where no healthy copy of what it asked for was left. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from schemas.envelope import unix_ms
from tests.faults.accounts import Call, Harm
from tests.faults.schedule import ENGINE, SERVER

Window: TypeAlias = tuple[float, float]

FOR_EVER = float("inf")
GATEWAY = "envoy"
LOG_TO_GATEWAY = ("api", "relay", "kafka", "follower")
"""Programs without which the gateway does not learn of an instance that is back."""
SETTLES_S = 2.0
"""From an event to what all gateways do; and from a program's readiness to its first answer."""
UNFLUSHED_S = 1.0
"""Envoy writes its log a few times a second: what it had not written dies with it."""
_ANNOUNCED, _GONE = "endpoints.InstanceAnnounced.v1", ("endpoints.InstanceWithdrawn.v1", "endpoints.InstanceFailed.v1")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the view says of a request."""

    drawn_deployment_id: str
    instance: str
    status: int
    response_flags: str
    upstream_ms: float
    error_class: str

    @property
    def has_reason(self) -> bool:
        """Whether it is told why there was no good answer: a flag of the gateway's, or the instance that gave it."""
        return bool(self.response_flags) or bool(self.instance and self.upstream_ms >= 0)


class Copies:
    """When each instance of each deployment was there and well, by the log and by what was done to it."""

    def __init__(self, events: Iterable[Mapping[str, Any]], harms: Sequence[Harm]) -> None:
        self._told: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        self._deployments: dict[str, set[str]] = defaultdict(set)
        for event in events:
            if event["type"] == _ANNOUNCED:
                self._deployments[event["data"]["deployment_id"]].add(event["stream"])
            if event["type"] == _ANNOUNCED or event["type"] in _GONE:
                self._told[event["stream"]].append((unix_ms(event["time"]) / 1000, event["type"] == _ANNOUNCED))
        self._harms = harms

    def was_one_well(self, deployment_id: str, window: Window) -> bool:
        """Return whether some instance was well during the whole window."""
        away = [self.away(instance) for instance in self._deployments[deployment_id]]
        return any(not any(_overlap(window, each) for each in windows) for windows in away)

    def away(self, instance: str) -> list[Window]:
        """Return when an instance was not to be counted on."""
        told = sorted(self._told[instance])
        starts = [(0.0, False), *told]
        windows = [
            (at, self._learnt(until[0]))
            for (at, is_there), until in zip(starts, [*told, (FOR_EVER, False)], strict=True)
            if not is_there
        ]
        harms = (harm for harm in self._harms if harm.fault.target == ENGINE and harm.instance_id == instance)
        return windows + [
            (harm.began_at, self._well_again(harm, told)) for harm in harms if harm.until != harm.began_at
        ]

    def _well_again(self, harm: Harm, told: Sequence[tuple[float, bool]]) -> float:
        announced = next((at for at, is_there in told if is_there and at > harm.began_at), FOR_EVER)
        if harm.until is None:
            return self._learnt(announced)
        withdrawn = next((at for at, is_there in told if not is_there and at > harm.began_at), FOR_EVER)
        return self._learnt(announced) if withdrawn < harm.until + SETTLES_S else harm.until + SETTLES_S

    def _learnt(self, at: float) -> float:
        """Return when the gateway knew what the log says at a time."""
        held_up = (
            harm.until or FOR_EVER
            for harm in self._harms
            if harm.fault.target in LOG_TO_GATEWAY and _overlap((harm.began_at, harm.until or FOR_EVER), (at, at))
        )
        return max([at, *held_up]) + SETTLES_S


class Judge:
    """Judges each call that failed."""

    def __init__(self, copies: Copies, harms: Sequence[Harm], records: Mapping[str, Record]) -> None:
        self._copies, self._records = copies, records
        self._gateway = _windows(harms, GATEWAY)
        self._server = _windows(harms, SERVER)

    def account_of(self, call: Call) -> str:
        """Say on a few words what became of a failed call."""
        record = self._records.get(call.prediction_id)
        if record is None:
            return f"{call.kind}: {'no record' if call.prediction_id else 'no answer'}"
        return f"{call.kind}: {record.status} {record.response_flags or 'by the instance'}"

    def fault_of(self, call: Call) -> str:
        """Return what is wrong with a failure; nothing where it had to be."""
        window = (call.sent_at, call.ended_at)
        if any(_overlap(window, gone) for gone in self._gateway):
            return ""
        if not call.prediction_id:
            return f"no answer while the gateway ran: {call}"
        record = self._records.get(call.prediction_id)
        if record is None:
            return "" if self.may_be_unknown(call) else f"no record: {call}"
        if not record.has_reason:
            return f"no reason in the record: {call}, {record}"
        return f"a healthy copy was there: {call}, {record}" if self._had_a_copy(call, record) else ""

    def _had_a_copy(self, call: Call, record: Record) -> bool:
        window = (call.sent_at, call.ended_at)
        if call.kind == "text" and any(_overlap(window, gone) for gone in self._server):
            return False
        return self._copies.was_one_well(record.drawn_deployment_id, window)

    def may_be_unknown(self, call: Call) -> bool:
        """Return whether the record of an answer may be lost, as the gateway was killed right after it."""
        return any(began - UNFLUSHED_S <= call.ended_at <= until for began, until in self._gateway)


def _windows(harms: Iterable[Harm], target: str) -> list[Window]:
    return [
        (harm.began_at, FOR_EVER if harm.until is None else harm.until + SETTLES_S)
        for harm in harms
        if harm.fault.target == target and harm.fault.deed == "kill"
    ]


def _overlap(one: Window, other: Window) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
