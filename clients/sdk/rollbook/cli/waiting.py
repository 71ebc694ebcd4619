"""Waits until an endpoint answers, and tells meanwhile what it waits for."""

import time

import click

from rollbook import Rollbook, RollbookError
from rollbook.resources import Endpoint

_POLL_S = 0.25


def until_it_answers(rollbook: Rollbook, name: str, *, timeout_s: float) -> Endpoint:
    """Return the endpoint once its deployments are ready and a gateway routes to them.

    Raises:
        RollbookError: a deployment failed, or it takes longer.
    """
    deadline = time.monotonic() + timeout_s
    told = ""
    while True:
        endpoint = rollbook.endpoints.get(name)
        _require_no_failure(endpoint)
        awaited = _awaited(endpoint)
        if not awaited:
            return endpoint
        if awaited != told:
            click.echo(f"waiting: {awaited}", err=True)
            told = awaited
        if time.monotonic() > deadline:
            raise RollbookError(f"endpoint {name} does not answer after {timeout_s:g} s: {awaited}")
        time.sleep(_POLL_S)


def _require_no_failure(endpoint: Endpoint) -> None:
    for deployment in endpoint.deployments:
        if deployment.failure:
            raise RollbookError(f"{deployment.version} can't be served by {endpoint.name}: {deployment.failure}")


def _awaited(endpoint: Endpoint) -> str:
    for deployment in endpoint.deployments:
        if deployment.state not in {"ready", "asleep"}:
            wanted = deployment.replicas * max(1, len(deployment.regions))
            return f"{deployment.version} is {deployment.state}, {len(deployment.instances)} of {wanted} ready"
    is_routed = endpoint.epoch is None or any(applied.epoch >= endpoint.epoch for applied in endpoint.applied)
    return "" if is_routed else "no gateway routes to it yet"
