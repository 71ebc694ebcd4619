# Generated from ../_async/client.py by clients/sdk/generate.py; edit that one.
"""The client: one attribute for each kind of thing."""

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rollbook import _wire, local_stack
from rollbook._sync import operations
from rollbook._sync.connection import Connection
from rollbook._sync.endpoints import Endpoints
from rollbook._sync.gateway import Gateway
from rollbook._sync.handles import EndpointHandle, Progress, RolloutHandle
from rollbook._sync.versions import Versions
from rollbook.resources import LogEntry, Version


class Rollbook(operations.Operations):
    """A control plane.

    Commands are safe to repeat: each carries an idempotency key. Errors are `rollbook.RollbookError`s.
    Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        workspace: str | None = None,
        gateway: str | None = None,
        timeout_s: float = _wire.DEFAULT_TIMEOUT_S,
    ) -> None:
        """Take the API's address and a bearer token; nothing is sent yet.

        `workspace` is for admins and services of the home workspace, who may act in any; others have their own.
        `gateway` is where endpoints are asked; by default where the control plane says.
        """
        self._stack: local_stack.LocalStack | None = None
        self._connection = Connection(url, token, timeout_s, workspace=workspace)
        super().__init__(self._connection)
        # These two have words that a person would use.
        self.versions: Versions = Versions(self._connection)
        self.endpoints: Endpoints = Endpoints(self._connection)
        self._gateway = Gateway(self.health, self.inference_tokens, url=gateway, timeout_s=timeout_s)

    @classmethod
    def local(cls, data_dir: Path | str | None = None, *, timeout_s: float = 180.0) -> Self:
        """Return a client of the stack on this machine, which is started where it does not run.

        The client that started it ends it when it is closed, for others that joined as well; a stack that ran before
        goes on. `data_dir` is by default that of the `rollbook` command: `$ROLLBOOK_DATA_DIR`, or `rollbook-data` here.
        Starting needs `rollbook-server` to be installed.

        Raises:
            RollbookError: the stack does not start; the sentence says why.
        """
        stack = local_stack.LocalStack(local_stack.data_dir_or_default(data_dir))
        try:
            _wire.in_thread(partial(stack.ensure_running, timeout_s=timeout_s))
            client = cls(local_stack.api_url(stack), token=stack.token())
        except BaseException:
            stack.stop_if_started()
            raise
        client._stack = stack
        return client

    def endpoint(self, name: str) -> EndpointHandle:
        """Return the endpoint of a name or id, to roll out to it and to ask it; nothing is sent yet."""
        return EndpointHandle(
            name,
            endpoints=self.endpoints,
            rollouts=self.rollouts,
            feedback=self.feedback,
            log=self.log,
            gateway=self._gateway,
        )

    def serve(
        self,
        name: str,
        version: Version | str,
        *,
        replicas: int | None = None,
        timeout_s: float = 600.0,
        progress: Progress | None = None,
    ) -> EndpointHandle:
        """Create an endpoint that serves a version, and return it once it answers.

        Raises:
            Problem: it is refused, as a name that is taken is.
            RollbookError: the version cannot be served; the sentence says why.
        """
        reference = version if isinstance(version, str) else version.reference
        self.endpoints.create(name, version=reference, replicas=replicas)
        endpoint = self.endpoint(name)
        endpoint.wait_until_ready(timeout_s=timeout_s, progress=progress)
        return endpoint

    def rollout(self, rollout_id: str) -> RolloutHandle:
        """Return the rollout of an id, to wait for it and to decide; nothing is sent yet."""
        return RolloutHandle(self.rollouts, rollout_id, log=self.log)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections, and end the stack that `local` started."""
        try:
            self._gateway.close()
            self._connection.close()
        finally:
            if self._stack is not None:
                _wire.in_thread(self._stack.stop_if_started)

    def events(
        self,
        *,
        after: int = 0,
        limit: int | None = None,
        stream: str | None = None,
        event_type: str | None = None,
        wait_ms: int = 0,
    ) -> tuple[LogEntry, ...]:
        """Return the events after a position, in order: all until the log's end, or the first `limit` of them.

        With `wait_ms` it waits that long for the first one, where there is none yet.
        """
        found: list[LogEntry] = []
        head: int | None = None
        while True:
            size = _wire.page_size(limit, so_far=len(found)) or _wire.MAX_PAGE_ITEMS
            page = self.log.read(after=after, limit=size, stream=stream, type_=event_type, wait_ms=wait_ms)
            found += page.items
            # What comes while the pages are read is left to the next call, or a busy log would have no end.
            head = page.head if head is None else head
            after, wait_ms = page.read_until, 0
            if len(found) == limit or after >= head:
                return tuple(found)

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run one read-only SQL query on ClickHouse; the answer is ClickHouse's JSONCompact."""
        body = _wire.body({"sql": sql}, parameters=parameters)
        return self._connection.command("POST", "/v1/query", body, dict[str, Any])
