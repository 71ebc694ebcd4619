"""The same Envoy with the same two routes, written by hand: what a gateway costs that no one can move."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from infra.ports import free_ports
from serving.gateway.access_log import FIELDS
from serving.gateway.envoy_process import envoy_binary

_READY_WITHIN_S = 20.0
_POLL_S = 0.05
_STOP_S = 10.0
_TYPE = "type.googleapis.com/"
_FILTERS = "envoy.extensions.filters.http."
_WEIGHTS = (9_999, 1)
"""As the endpoint beside it: two deployments in the route, and nearly all traffic on the first."""


@contextmanager
def static_envoy(folder: Path, *, engine_ports: list[int], jwks: dict[str, Any] | None = None) -> Iterator[str]:
    """Run it and give out its address; with keys it checks tokens and records requests, as the gateway does."""
    folder.mkdir(parents=True, exist_ok=True)
    port, admin = free_ports(2)
    path = folder / "envoy.json"
    path.write_bytes(msgspec.json.encode(_bootstrap(port, admin, engine_ports, _extras(folder, jwks))))
    command = [str(envoy_binary()), "-c", str(path), "--concurrency", "1", "--disable-hot-restart"]
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen([*command, "--file-flush-interval-msec", "200"], stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{admin}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(_STOP_S)


def _wait(admin_url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not _is_ready(admin_url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the hand-written Envoy did not start")
        time.sleep(_POLL_S)


def _is_ready(admin_url: str) -> bool:
    try:
        return httpx.get(f"{admin_url}/ready", timeout=2).is_success
    except httpx.TransportError:
        return False


def _extras(folder: Path, jwks: dict[str, Any] | None) -> dict[str, Any]:
    if jwks is None:
        return {"http_filters": []}
    provider = {
        "issuer": "rollbook",
        "payload_in_metadata": "claims",
        "jwt_cache_config": {"jwt_cache_size": 1_000},
        "local_jwks": {"inline_string": msgspec.json.encode(jwks).decode()},
    }
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "rollbook"}}
    check = {
        "@type": f"{_TYPE}{_FILTERS}jwt_authn.v3.JwtAuthentication",
        "providers": {"rollbook": provider},
        "rules": [rule],
    }
    log = {
        "@type": f"{_TYPE}envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": str(folder / "requests.log"),
        "log_format": {"json_format": FIELDS},
    }
    return {
        "http_filters": [{"name": "envoy.filters.http.jwt_authn", "typed_config": check}],
        "access_log": [{"name": "envoy.access_loggers.file", "typed_config": log}],
    }


def _bootstrap(port: int, admin: int, engine_ports: list[int], extras: dict[str, Any]) -> dict[str, Any]:
    shares = [
        {"name": f"engine-{number}", "weight": weight, "response_headers_to_add": [_header("x-version", str(number))]}
        for number, weight in enumerate(_WEIGHTS)
    ]
    route = {
        "match": {"prefix": "/v2/models/"},
        "route": {"weighted_clusters": {"clusters": shares}, "timeout": "60s"},
    }
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}{_FILTERS}router.v3.Router", "suppress_envoy_headers": True},
    }
    manager = {
        "@type": f"{_TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "static",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        **extras,
        "http_filters": [*extras["http_filters"], router],
    }
    network_filter = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    listener = {"name": "static", "address": _loopback(port), "filter_chains": [{"filters": [network_filter]}]}
    clusters = [_cluster(f"engine-{number}", engine_port) for number, engine_port in enumerate(engine_ports)]
    return {
        "admin": {"address": _loopback(admin)},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }


def _cluster(name: str, port: int) -> dict[str, Any]:
    hosts = [{"lb_endpoints": [{"endpoint": {"address": _loopback(port)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": hosts},
    }


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _loopback(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
