"""One Envoy's delta stream: what it asked for, what it was sent, what it accepted or rejected, and what comes next.

No I/O except a queue of responses; `ads_server` connects it to gRPC.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec
import structlog
from envoy.service.discovery.v3 import discovery_pb2

from serving.gateway import names
from serving.gateway.ads_store import AdsStore, Key

PHASES: tuple[frozenset[str], ...] = (
    # For a cluster that it already has, Envoy does not ask for the endpoints again, nor acknowledges a change before
    # they arrive; so they follow immediately.
    frozenset({names.CLUSTER_TYPE, names.ENDPOINTS_TYPE}),
    frozenset({names.LISTENER_TYPE, names.FILTER_TYPE}),
    frozenset({names.ROUTE_TYPE}),
)
"""Make before break: each phase is acknowledged before the next is sent, and clusters are removed last."""

_ALL_OF_TYPE = frozenset({names.CLUSTER_TYPE, names.LISTENER_TYPE, names.ROUTE_TYPE})
_REMOVED_LAST = frozenset({names.CLUSTER_TYPE, names.ENDPOINTS_TYPE})
_SILENCE_S = 5.0

_log = structlog.get_logger(__name__)

OnTaken = Callable[[str, list[str]], None]


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A response waiting for its ACK or NACK, with the serials of its resources."""

    type_url: str
    serials: dict[str, int]


class AdsStream:
    """The conversation with one Envoy; `on_taken` gets each type and the names that Envoy has acknowledged."""

    def __init__(self, store: AdsStore, *, on_taken: OnTaken) -> None:
        # Bounded by what Envoy asks for: each response answers a request or waits for its acknowledgement.
        self.outbox: asyncio.Queue[discovery_pb2.DeltaDiscoveryResponse] = asyncio.Queue()
        self.node_id = ""
        self._store = store
        self._on_taken = on_taken
        self._asked: dict[str, set[str]] = {}
        self._taken: dict[Key, int] = {}
        self._refused: dict[Key, int] = {}
        self._held_back: set[Key] = set()
        self._too_early: set[Key] = set()
        self._sent: dict[str, Sent] = {}
        self._in_flight: dict[Key, int] = {}
        self._nonce = 0
        self._dirty: set[Key] = set()
        self._has_work = asyncio.Event()
        self._has_answer = asyncio.Event()

    def touch(self, keys: Iterable[Key]) -> None:
        """Note that these resources changed; they are read from the store when it is their turn."""
        self._dirty.update(keys)
        self._has_work.set()

    def receive(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        """Handle a subscription, an ACK or a NACK."""
        self.node_id = request.node.id or self.node_id
        if request.response_nonce:
            self._take_answer(request)
        is_first = request.type_url not in self._asked
        asked = self._asked.setdefault(request.type_url, set())
        asked.difference_update(request.resource_names_unsubscribe)
        asked.update(request.resource_names_subscribe)
        if request.type_url == names.ENDPOINTS_TYPE:
            # Immediately: the cluster phase of the sending loop waits for exactly this.
            self._subscribe(request.type_url, request.resource_names_subscribe, request.initial_resource_versions)
        elif is_first or request.resource_names_subscribe:
            self._begin(request.type_url, request.initial_resource_versions, is_first=is_first)

    async def send_changes(self) -> None:
        """Send what changed, phase by phase, until cancelled."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            batch = self._dirty | self._held_back | self._too_early
            self._dirty, self._held_back, self._too_early = set(), set(), set()
            last = {key for key in batch if key[0] in _REMOVED_LAST and self._is_removed(key)}
            batch -= last
            batch |= {(names.ENDPOINTS_TYPE, name) for type_url, name in batch if type_url == names.CLUSTER_TYPE}
            for types in PHASES:
                await self._send_phase({key for key in batch if key[0] in types})
            if names.ROUTE_TYPE in self._asked:
                await self._send_phase(last)
            else:
                # A reconnected Envoy has not reported its routes yet; they may still need these.
                self._dirty |= last

    async def _send_phase(self, keys: set[Key]) -> None:
        awaited: dict[Key, int] = {}
        for type_url in sorted({key[0] for key in keys}):
            awaited |= self._send(type_url, sorted(name for kind, name in keys if kind == type_url))
        expected = [key for key in keys if key[0] == names.ENDPOINTS_TYPE and names.CLUSTER_TYPE in self._asked]
        awaited |= self._store.serials(expected)
        while waiting := [key for key, serial in awaited.items() if not self._is_settled(key, serial)]:
            self._has_answer.clear()
            try:
                await asyncio.wait_for(self._has_answer.wait(), timeout=_SILENCE_S)
            except TimeoutError:
                _log.warning("gateway_silent", gateway_id=self.node_id, count=len(waiting), first=waiting[0])

    def _is_settled(self, key: Key, serial: int) -> bool:
        if key[0] == names.ENDPOINTS_TYPE and self._is_removed((names.CLUSTER_TYPE, key[1])):
            return True
        return max(self._taken.get(key, 0), self._refused.get(key, 0)) >= serial

    def _is_removed(self, key: Key) -> bool:
        held = self._store.get(key)
        return held is None or held.resource is None

    def _is_asked(self, key: Key) -> bool:
        type_url, name = key
        return type_url in self._asked and (type_url in _ALL_OF_TYPE or name in self._asked[type_url])

    def _subscribe(self, type_url: str, subscribed: Iterable[str], has: Mapping[str, str]) -> None:
        different = [name for name in subscribed if not self._has_already((type_url, name), has)]
        if different:
            self._send(type_url, different)

    def _begin(self, type_url: str, has: Mapping[str, str], *, is_first: bool) -> None:
        ours = self._store.names(type_url) if type_url in _ALL_OF_TYPE else self._asked[type_url]
        different = [(type_url, name) for name in ours if not self._has_already((type_url, name), has)]
        gone = [(type_url, name) for name in has if self._is_removed((type_url, name))]
        if is_first and not different and not gone:
            # Envoy only treats a subscription as initialised once it is answered, even with nothing.
            self._respond(discovery_pb2.DeltaDiscoveryResponse(type_url=type_url), {})
        self.touch([*different, *gone])

    def _has_already(self, key: Key, has: Mapping[str, str]) -> bool:
        held = self._store.get(key)
        if held is None or held.resource is None or has.get(key[1]) != held.resource.version:
            return False
        self._take(key[0], {key[1]: held.serial})
        return True

    def _send(self, type_url: str, wanted: Iterable[str]) -> dict[Key, int]:
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url)
        serials: dict[str, int] = {}
        for name in wanted:
            held = self._store.get((type_url, name))
            if not self._is_asked((type_url, name)) or self._must_wait((type_url, name)):
                continue
            if held and self._is_in_flight(type_url, name, held.serial):
                continue
            if held is None or held.resource is None:
                response.removed_resources.append(name)
            else:
                resource = held.resource
                response.resources.add(name=name, version=resource.version, resource=resource.body)
            serials[name] = held.serial if held else 0
        if serials:
            self._respond(response, serials)
        return {(type_url, name): serial for name, serial in serials.items()}

    def _is_in_flight(self, type_url: str, name: str, serial: int) -> bool:
        return self._in_flight.get((type_url, name), 0) == serial

    def _must_wait(self, key: Key) -> bool:
        held = self._store.get(key)
        needs = held.resource.needs if held and held.resource else frozenset()
        if names.CLUSTER_TYPE in self._asked and any(map(self._is_expected, needs)):
            # A route is sent in its state when it is its turn; by then it may name a cluster that was added after its
            # batch.
            self._too_early.add(key)
            return True
        missing = sorted(name for name in needs if self._is_refused(name))
        if missing:
            self._held_back.add(key)
            _log.error("route_held_back", name=key[1], refused=missing)
        return bool(missing)

    def _is_expected(self, deployment_id: str) -> bool:
        keys = ((names.CLUSTER_TYPE, deployment_id), (names.ENDPOINTS_TYPE, deployment_id))
        return any(not self._is_removed(key) and key not in self._taken and key not in self._refused for key in keys)

    def _is_refused(self, deployment_id: str) -> bool:
        keys = ((names.CLUSTER_TYPE, deployment_id), (names.ENDPOINTS_TYPE, deployment_id))
        return any(self._refused.get(key, 0) > self._taken.get(key, 0) for key in keys)

    def _respond(self, response: discovery_pb2.DeltaDiscoveryResponse, serials: dict[str, int]) -> None:
        self._nonce += 1
        response.nonce = str(self._nonce)
        self._in_flight |= {(response.type_url, name): serial for name, serial in serials.items()}
        self._sent[response.nonce] = Sent(type_url=response.type_url, serials=serials)
        self.outbox.put_nowait(response)

    def _take_answer(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        sent = self._sent.pop(request.response_nonce, None)
        if sent is None:
            return
        for name, serial in sent.serials.items():
            if self._is_in_flight(sent.type_url, name, serial):
                del self._in_flight[sent.type_url, name]
        if not request.HasField("error_detail"):
            self._take(sent.type_url, sent.serials)
        elif len(sent.serials) > 1:
            # One bad resource must not hold back the good ones, so the halves are sent again separately.
            wanted = list(sent.serials)
            self._send(sent.type_url, wanted[: len(wanted) // 2])
            self._send(sent.type_url, wanted[len(wanted) // 2 :])
        else:
            self._refuse(sent, request.error_detail.message)
        self._has_answer.set()

    def _take(self, type_url: str, serials: Mapping[str, int]) -> None:
        for name, serial in serials.items():
            self._taken[type_url, name] = serial
        if self._too_early:
            self._has_work.set()
        if serials:
            self._on_taken(type_url, list(serials))

    def _refuse(self, sent: Sent, reason: str) -> None:
        for name, serial in sent.serials.items():
            self._refused[sent.type_url, name] = serial
            _log.error("resource_refused", gateway_id=self.node_id, type=sent.type_url, name=name, reason=reason)
