"""The part of OpenAI's API that the gateway answers itself: which models exist, and that a version is not deployed."""

import json
from collections.abc import Iterable
from http import HTTPStatus

from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from schemas.identifiers import uuid_time_ms
from serving.gateway import names
from serving.gateway.protos import literal
from serving.gateway.routing_state import EndpointRoute

MODELS_PATH = "/v1/models"
EVERY_ENDPOINT = "*"
_ANY_SELECTOR = ".*[@:].*"
_MAX_NAMED = 100
MAX_LIST_BYTES = 4 * 1024 * 1024


def models_key(workspace: str) -> str:
    """Return the routing header's value for listing a workspace's models; no endpoint's name has a slash."""
    return f"{workspace}/{MODELS_PATH}".lower()


def model_list(endpoints: Iterable[EndpointRoute]) -> route_pb2.Route:
    """List a workspace's endpoints; each is a model for OpenAI's clients."""
    found = sorted(endpoints, key=lambda endpoint: endpoint.name)
    document = {"object": "list", "data": [_model(endpoint) for endpoint in found]}
    return _answered(route_pb2.RouteMatch(path=MODELS_PATH), HTTPStatus.OK, json.dumps(document))


def model_shown(endpoint: EndpointRoute) -> route_pb2.Route:
    """Show one endpoint as a model."""
    match = route_pb2.RouteMatch(path=f"{MODELS_PATH}/{endpoint.name}")
    return _answered(match, HTTPStatus.OK, json.dumps(_model(endpoint)))


def names_version(text: str) -> route_pb2.HeaderMatcher:
    """Match calls whose `model` is `endpoint@version` or `endpoint:alias`."""
    exact = string_pb2.StringMatcher(exact=text, ignore_case=True)
    return route_pb2.HeaderMatcher(name=names.MODEL, string_match=exact)


def version_not_deployed(endpoint: EndpointRoute) -> route_pb2.Route:
    """Reject a version that no deployment of the endpoint has, rather than let another one answer."""
    selector = string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=_ANY_SELECTOR))
    match = route_pb2.RouteMatch(
        prefix="/v1/", headers=[route_pb2.HeaderMatcher(name=names.MODEL, string_match=selector)]
    )
    return _answered(match, HTTPStatus.NOT_FOUND, f"no version of this name is deployed; {_versions_of(endpoint)}")


def _versions_of(endpoint: EndpointRoute) -> str:
    numbers = sorted({version.number for version in endpoint.deployments.values()})
    aliases = sorted({alias for of_version in endpoint.aliases.values() for alias in of_version})
    spelled = [*(f"{endpoint.name}@{number}" for number in numbers), *(f"{endpoint.name}:{each}" for each in aliases)]
    return f"endpoint {endpoint.name} has {', '.join(spelled[:_MAX_NAMED])}" + ("" if aliases else " and no alias")


def _model(endpoint: EndpointRoute) -> dict[str, object]:
    created = (uuid_time_ms(endpoint.id) or 0) // 1_000
    return {"id": endpoint.name, "object": "model", "created": created, "owned_by": endpoint.workspace}


def _answered(match: route_pb2.RouteMatch, status: HTTPStatus, body: str) -> route_pb2.Route:
    return route_pb2.Route(
        match=match,
        direct_response=route_pb2.DirectResponseAction(status=status, body={"inline_string": literal(body)}),
    )
