import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import Message

from serving.gateway import names, resources
from serving.gateway.ads_store import AdsStore
from serving.gateway.ads_stream import AdsStream
from serving.gateway.endpoint_routes import endpoint_route
from serving.gateway.grpc_routing import grpc_name
from serving.gateway.resources import Update, everything, update_for
from serving.gateway.routing_state import EndpointRoute
from serving.gateway.routing_table import RoutingTable
from tests.support.routing import NOTHING_KNOWN, Log, added, announced, created, shifted

RESPONSE_S = 30.0


class FakeEnvoy:
    """Speaks Envoy's half of the delta protocol over queues."""

    def __init__(self) -> None:
        self.log = Log()
        self.table = RoutingTable(NOTHING_KNOWN)
        self.store = AdsStore()
        self.taken: list[tuple[str, list[str]]] = []
        self.stream = AdsStream(self.store, on_taken=lambda type_url, taken: self.taken.append((type_url, taken)))

    def tell(self, stream: str, event: object) -> None:
        change = self.table.take(self.log.append(stream, event))  # type: ignore[arg-type]
        # The list of a workspace's models is a resource by itself, of which other tests tell.
        self.put(update_for(msgspec.structs.replace(change, workspaces=frozenset()), self.table))

    def put(self, update: Update) -> None:
        self.stream.touch(self.store.put(update))

    def ask(self, type_url: str, *subscribed: str, has: dict[str, str] | None = None) -> None:
        self.stream.receive(
            discovery_pb2.DeltaDiscoveryRequest(
                type_url=type_url, resource_names_subscribe=subscribed, initial_resource_versions=has or {}
            )
        )

    async def response(self) -> discovery_pb2.DeltaDiscoveryResponse:
        return await asyncio.wait_for(self.stream.outbox.get(), RESPONSE_S)

    def accept(self, response: discovery_pb2.DeltaDiscoveryResponse) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        self.stream.receive(request)

    def refuse(self, response: discovery_pb2.DeltaDiscoveryResponse) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        request.error_detail.message = "not like this"
        self.stream.receive(request)

    def serve_endpoint(self, number: int = 1) -> None:
        stream, deployment = f"endpoint-{number}", f"d{number}"
        self.tell(stream, created(f"name-{number}"))
        self.tell(stream, added(deployment))
        self.tell(f"instance-{number}", announced(stream, deployment))
        self.tell(stream, shifted(**{deployment: [(0, 10_000)]}))


@pytest.fixture
async def envoy() -> AsyncIterator[FakeEnvoy]:
    envoy = FakeEnvoy()
    sending = asyncio.create_task(envoy.stream.send_changes())
    yield envoy
    sending.cancel()


async def some_turns() -> None:
    """Let the stream do all that it can do by now."""
    for _ in range(20):
        await asyncio.sleep(0)


def names_of(response: discovery_pb2.DeltaDiscoveryResponse) -> list[str]:
    return [resource.name for resource in response.resources]


async def test_a_route_is_sent_only_after_its_cluster_and_endpoints_are_acknowledged(envoy: FakeEnvoy) -> None:
    envoy.ask(names.CLUSTER_TYPE)
    envoy.accept(await envoy.response())
    envoy.ask(names.ROUTE_TYPE)
    envoy.accept(await envoy.response())
    envoy.serve_endpoint()

    clusters = await envoy.response()
    assert clusters.type_url == names.CLUSTER_TYPE
    await some_turns()
    assert envoy.stream.outbox.empty()
    envoy.accept(clusters)
    envoy.ask(names.ENDPOINTS_TYPE, "d1", grpc_name("d1"))
    endpoints = await envoy.response()
    assert (endpoints.type_url, names_of(endpoints)) == (names.ENDPOINTS_TYPE, ["d1", grpc_name("d1")])
    await some_turns()
    assert envoy.stream.outbox.empty()
    envoy.accept(endpoints)

    hosts = await envoy.response()
    assert names_of(hosts) == ["endpoint-1"]


async def test_a_route_that_changed_meanwhile_waits_for_the_clusters_that_it_names_now(envoy: FakeEnvoy) -> None:
    envoy.ask(names.CLUSTER_TYPE)
    envoy.accept(await envoy.response())
    envoy.ask(names.ROUTE_TYPE)
    envoy.accept(await envoy.response())
    envoy.serve_endpoint()
    first = await envoy.response()
    envoy.tell("endpoint-1", added("d2"))
    envoy.tell("instance-2", announced("endpoint-1", "d2"))
    envoy.tell("endpoint-1", shifted(d1=[(0, 5_000)], d2=[(5_000, 10_000)]))

    envoy.accept(first)
    envoy.ask(names.ENDPOINTS_TYPE, "d1", grpc_name("d1"))
    envoy.accept(await envoy.response())

    second = await envoy.response()
    assert (second.type_url, names_of(second)) == (names.CLUSTER_TYPE, ["d2", grpc_name("d2")])
    envoy.accept(second)
    envoy.ask(names.ENDPOINTS_TYPE, "d2", grpc_name("d2"))
    envoy.accept(await envoy.response())
    assert names_of(await envoy.response()) == ["endpoint-1"]


async def test_a_reconnected_envoy_is_sent_only_what_differs_and_what_is_gone(envoy: FakeEnvoy) -> None:
    envoy.serve_endpoint(1)
    envoy.serve_endpoint(2)
    await some_turns()
    held = envoy.store.get((names.ROUTE_TYPE, "endpoint-1"))
    assert held
    assert held.resource
    has = {"endpoint-1": held.resource.version, "endpoint-9": "old"}

    envoy.ask(names.ROUTE_TYPE, has=has)

    response = await envoy.response()
    assert names_of(response) == ["endpoint-2"]
    assert list(response.removed_resources) == ["endpoint-9"]
    assert (names.ROUTE_TYPE, ["endpoint-1"]) in envoy.taken


async def test_one_refused_resource_does_not_keep_the_others_back(envoy: FakeEnvoy) -> None:
    for number in (1, 2, 3):
        envoy.serve_endpoint(number)
    envoy.ask(names.ROUTE_TYPE)
    bad = "endpoint-2"

    while len(envoy.taken) < 2:
        response = await envoy.response()
        if bad in names_of(response):
            envoy.refuse(response)
        else:
            envoy.accept(response)

    assert sorted(name for _, taken in envoy.taken for name in taken) == [
        "endpoint-1",
        "endpoint-3",
    ]


async def test_a_route_to_refused_endpoints_is_held_back_until_they_are_mended(envoy: FakeEnvoy) -> None:
    envoy.ask(names.CLUSTER_TYPE)
    envoy.accept(await envoy.response())
    envoy.ask(names.ROUTE_TYPE)
    envoy.accept(await envoy.response())
    envoy.serve_endpoint()
    envoy.accept(await envoy.response())
    envoy.ask(names.ENDPOINTS_TYPE, grpc_name("d1"))
    envoy.accept(await envoy.response())
    envoy.ask(names.ENDPOINTS_TYPE, "d1")
    envoy.refuse(await envoy.response())
    await some_turns()
    assert envoy.stream.outbox.empty()

    envoy.tell("instance-1", announced("endpoint-1", "d1", port=2))
    envoy.accept(await envoy.response())

    assert names_of(await envoy.response()) == ["endpoint-1"]


async def test_a_change_sends_only_what_it_touched(envoy: FakeEnvoy) -> None:
    for number in range(50):
        envoy.serve_endpoint(number)
    envoy.ask(names.ROUTE_TYPE)
    envoy.accept(await envoy.response())

    envoy.tell("endpoint-7", shifted(d7=[(0, 10_000)]))

    assert names_of(await envoy.response()) == ["endpoint-7"]


def test_an_equal_resource_is_no_change() -> None:
    envoy = FakeEnvoy()
    envoy.serve_endpoint()

    assert envoy.store.put(update_for(everything(envoy.table), envoy.table)).keys() <= {
        (names.FILTER_TYPE, names.TOKEN_FILTER),
        (names.FILTER_TYPE, names.REVOCATION_FILTER),
        (names.ROUTE_TYPE, "models.default"),
        (names.ROUTE_TYPE, "batches.default"),
    }


def test_the_list_of_models_changes_with_the_names_alone() -> None:
    table, log = RoutingTable(NOTHING_KNOWN), Log()

    def told(stream: str, event: msgspec.Struct) -> set[str]:
        change = table.take(log.append(stream, event))
        return {resource.name for resource in update_for(change, table).resources}

    assert "models.default" in told("endpoint-1", created("one"))
    later = [added("d1"), announced("endpoint-1", "d1"), shifted(d1=[(0, 10_000)])]
    assert all("models.default" not in told("endpoint-1", event) for event in later)


def test_an_endpoint_that_cannot_be_built_holds_back_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    table, log = RoutingTable(NOTHING_KNOWN), Log()
    for endpoint, deployment in (("endpoint-1", "d1"), ("endpoint-2", "d2")):
        for event in (created(endpoint), added(deployment), shifted(**{deployment: [(0, 10_000)]})):
            table.take(log.append(endpoint, event))
    built = endpoint_route

    def broken(endpoint: EndpointRoute, *, levels: int) -> Message:
        if endpoint.id == "endpoint-1":
            raise ValueError("a bug")
        return built(endpoint, levels=levels)

    monkeypatch.setattr(resources, "endpoint_route", broken)
    told = {resource.name for resource in update_for(everything(table), table).resources}

    assert told >= {"endpoint-2", "d1", "d2", "models.default"}
    assert "endpoint-1" not in told
