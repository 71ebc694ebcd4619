"""The composition root of the API: builds the adapters, joins them to the features, mounts what both sides declare."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar
from litestar.types import ASGIApp, Receive, Scope, Send

from control_plane.access.first_principals import ensure_first_principals
from control_plane.access.sealed_names import principal_without_key
from control_plane.access.tokens import TokenIndex
from control_plane.artifacts.artifact_store import ArtifactLimits, ArtifactStores
from control_plane.audit.log_tree import LogTree
from control_plane.declared import AGGREGATES, PROCESSES, Parts, declare
from control_plane.endpoints.errors import EndpointNotFoundError
from control_plane.endpoints.queries import existing_endpoint_id, existing_endpoint_ids
from control_plane.event_feed.commits import Commits
from control_plane.event_store.sqlite_store import SqliteStore, open_sqlite_store
from control_plane.feedback.publisher import FeedbackPublisher
from control_plane.inference_tokens.mint import InferenceTokenMint
from control_plane.inference_tokens.signing_keys import SigningKeyStore
from control_plane.inference_tokens.unused_keys import WORK as UNUSED_SIGNING_KEYS
from control_plane.inference_tokens.unused_keys import UnusedKeys
from control_plane.keys.key_file import KeyFile, open_key_file
from control_plane.keys.secret_files import KEY_REMEDY, load_or_make_key
from control_plane.processes.runner import ProcessRunner, show_positions
from control_plane.settings import ApiSettings
from control_plane.web.authentication import Authentication, open_routes
from control_plane.web.command_runner import Commands
from control_plane.web.correlation import correlating
from control_plane.web.health import Probe
from control_plane.web.measuring import measuring
from control_plane.web.openapi import document_of, document_routes
from control_plane.web.operation_routes import routes
from control_plane.web.problems import EXCEPTION_HANDLERS, answer_error_with_status
from control_plane.web.request_limits import RequestLimits
from control_plane.workspaces.directory import WorkspaceDirectory
from infra.background import AsyncWork, Background
from infra.clock import SystemClock
from infra.kafka.connection import KafkaConnection
from infra.kafka.topics import TopicSpec, ensure_topics
from infra.metrics import Metrics
from infra.operations import Operations
from infra.secret_files import SecretFileError
from infra.tracing import tracing
from projections.bootstrap import Views, open_views
from projections.errors import QueryError
from projections.query.lane import QueryLimits
from projections.reading import Endpoints
from schemas.identifiers import Kind, new_id
from schemas.results import ItemProblem
from schemas.topics import TOPICS

_RANDOM_BITS = 80
_TOPICS_RETRY_S = 1.0
_KEYS = "keys.sqlite"
_log = structlog.get_logger(__name__)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who is let in, and with what."""

    tokens: TokenIndex
    workspaces: WorkspaceDirectory
    authentication: Authentication
    mint: InferenceTokenMint
    checkpoint_key: Ed25519PrivateKey


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """The application, as ASGI; `drain` lets go who waits in a long poll, so that a server can end soon."""

    application: ASGIApp
    drain: Callable[[], None]
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.application(scope, receive, send)


@asynccontextmanager
async def open_api(settings: ApiSettings) -> AsyncIterator[Api]:
    """Open the store and everything around it; Kafka and ClickHouse may be away.

    Raises:
        CannotStartError: another process holds the store, it cannot be written, or a file of secrets is unusable.
    """
    clock, randomness, background = SystemClock(), partial(secrets.randbits, _RANDOM_BITS), Background()
    events_dir = _events_dir(settings)
    async with AsyncExitStack() as resources:
        commits = Commits(settings.relay_nudge_socket)
        resources.callback(commits.close)
        keys = resources.enter_context(open_key_file(events_dir / _KEYS))
        store = await resources.enter_async_context(
            open_sqlite_store(
                events_dir / "registry.sqlite",
                keys=keys,
                aggregates=AGGREGATES,
                clock=clock,
                randomness=randomness,
                after_commit=commits.committed,
                background=background,
            )
        )
        guards = await _open_access(store, keys, settings, clock)
        publisher = FeedbackPublisher(settings.kafka)
        resources.push_async_callback(publisher.close)
        views = open_views(settings.clickhouse_url, endpoints=_endpoints(store), limits=_sql_limits(settings))
        resources.push_async_callback(views.close)
        topics = background.task("topics", partial(_provision_topics, settings.kafka))
        resources.push_async_callback(_cancelled, topics)
        new_command_id = partial(_command_id, clock, randomness)
        runners = [ProcessRunner(each, store, commits, new_command_id=new_command_id) for each in PROCESSES]
        unused = UnusedKeys(store, guards.mint.keys, new_command_id=new_command_id)
        await resources.enter_async_context(background.running(_works(runners, unused)))
        parts = Parts(
            store=store,
            files=_files(settings),
            tokens=guards.tokens,
            workspaces=guards.workspaces,
            revoked_subjects=guards.tokens.revoked_subjects,
            mint=guards.mint,
            commits=commits,
            tree=LogTree(store.log, guards.checkpoint_key),
            publisher=publisher,
            probes={"clickhouse": views.is_reachable, "kafka": _is_done(topics)},
            background=background,
            data_dir=events_dir,
            gateway_url=settings.gateway_url,
            clock=clock,
        )
        metrics = _metrics(store, background, views, runners)
        traced = resources.enter_context(tracing("api", settings.otlp_endpoint))
        commands = Commands(store, new_command_id)
        application = _application(declare(parts, views.operations), commands, guards.authentication, settings)
        application = measuring(cast("ASGIApp", traced(cast("Any", application))), metrics.registry)
        yield Api(application=application, drain=commits.drain, metrics=metrics)


def _events_dir(settings: ApiSettings) -> Path:
    folder = settings.data_dir / "events"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _works(runners: Sequence[ProcessRunner], unused_keys: UnusedKeys) -> Mapping[str, AsyncWork]:
    return {**{f"process-{runner.name}": runner.run for runner in runners}, UNUSED_SIGNING_KEYS: unused_keys.run}


def _metrics(store: SqliteStore, background: Background, views: Views, runners: Sequence[ProcessRunner]) -> Metrics:
    metrics = Metrics()
    background.show_in(metrics)
    views.lane.show_in(metrics)
    metrics.gauge("rollbook_log_position", "Position of the last event in the store.", store.head)
    show_positions(runners, metrics)
    return metrics


def _command_id(clock: SystemClock, randomness: Callable[[], int]) -> str:
    return new_id(Kind.COMMAND, now_ms=clock.now_ms(), randomness=randomness())


def _files(settings: ApiSettings) -> ArtifactStores:
    folder = settings.data_dir / "artifacts"
    limits = ArtifactLimits(
        max_bytes=settings.max_artifact_bytes,
        quota_bytes=settings.artifact_quota_bytes,
        uploads_at_once=settings.uploads_at_once,
        uploads_at_once_each=settings.uploads_at_once_each,
    )
    return ArtifactStores(folder, home=settings.workspace, limits=limits)


def _require_keys(store: SqliteStore, keys: KeyFile, settings: ApiSettings) -> None:
    without = principal_without_key(store.catalogue(), has_key=lambda key_id: keys.key(key_id) is not None)
    if without is not None and not settings.accept_lost_keys:
        path = settings.data_dir / "events" / _KEYS
        raise SecretFileError(path, f"has no key of principal {without}, which the log names", remedy=KEY_REMEDY)


async def _open_access(store: SqliteStore, keys_of_names: KeyFile, settings: ApiSettings, clock: SystemClock) -> Access:
    _require_keys(store, keys_of_names, settings)
    secrets_dir = settings.data_dir / "secrets"
    # Before the first event, so that a log with events always had its keys.
    may_be_made = store.head() == 0 or settings.accept_lost_keys
    checkpoint_key = load_or_make_key(secrets_dir / "checkpoint-signing.pem", may_make=may_be_made)
    keys = SigningKeyStore(secrets_dir, store.catalogue, home=settings.workspace, clock=clock, may_be_made=may_be_made)
    keys.require_usable(may_be_missing=settings.accept_lost_keys)
    tokens = TokenIndex(store.catalogue, clock=clock)
    await ensure_first_principals(store, tokens, secrets_dir, workspace=settings.workspace)
    workspaces = WorkspaceDirectory(store.catalogue, home=settings.workspace)
    limits = RequestLimits(
        per_second=settings.requests_per_second_each,
        burst=settings.requests_burst_each,
        home=settings.workspace,
        clock=clock,
    )
    return Access(
        tokens=tokens,
        workspaces=workspaces,
        authentication=Authentication(tokens, workspaces, limits),
        mint=InferenceTokenMint(keys),
        checkpoint_key=checkpoint_key,
    )


def _endpoints(store: SqliteStore) -> Endpoints:
    async def id_of(endpoint: str, workspace: str) -> str:
        return await asyncio.to_thread(existing_endpoint_id, store.catalogue(), endpoint, workspace=workspace)

    async def ids_of(endpoints: Sequence[str], workspace: str) -> list[str | ItemProblem]:
        return await asyncio.to_thread(existing_endpoint_ids, store.catalogue(), endpoints, workspace=workspace)

    return Endpoints(id_of=id_of, ids_of=ids_of, unknown=EndpointNotFoundError)


def _sql_limits(settings: ApiSettings) -> QueryLimits:
    return QueryLimits(
        at_once=settings.sql_at_once,
        at_once_each=settings.sql_at_once_each,
        seconds=settings.sql_seconds,
        waiting_each=settings.sql_waiting_each,
        # Longer than a long statement of another, and short enough that a client still listens.
        wait_seconds=settings.sql_wait_seconds,
    )


def _application(
    declared: list[Operations], commands: Commands, authentication: Authentication, settings: ApiSettings
) -> ASGIApp:
    document = document_of(declared, version=version("rollbook-server"))
    app = Litestar(
        route_handlers=[
            *routes(declared, commands=commands, authentication=authentication),
            *document_routes(document, authentication),
        ],
        exception_handlers={**EXCEPTION_HANDLERS, QueryError: answer_error_with_status},
        openapi_config=None,
        request_max_body_size=settings.max_body_bytes,
        logging_config=None,
    )
    assert not open_routes(app), open_routes(app)
    return correlating(app)


async def _provision_topics(connection: KafkaConnection) -> None:
    specs = [TopicSpec.of(topic) for topic in TOPICS]
    while True:
        try:
            await ensure_topics(connection, specs)
        except TimeoutError:
            _log.warning("topics_not_provisioned", bootstrap=connection.bootstrap)
            await asyncio.sleep(_TOPICS_RETRY_S)
        else:
            return


def _is_done(task: "asyncio.Task[None]") -> Probe:
    async def probe() -> bool:
        return task.done() and not task.cancelled() and task.exception() is None

    return probe


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
