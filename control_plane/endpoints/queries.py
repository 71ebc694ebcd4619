"""What the catalogue knows of endpoints; every function takes the catalogue of a command or the committed one."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.deployments.commands import DeployableVersion
from control_plane.endpoints.resources import EndpointResource, decode_endpoint, decode_instance, endpoint_resource
from control_plane.ports import Catalogue, CatalogueRow, UnitOfWork
from schemas.documents.endpoints import Endpoint, Instance
from schemas.documents.versions import Version
from schemas.events.endpoints import VersionReference
from schemas.identifiers import Kind, kind_of
from schemas.results import ItemProblem, problem_of

_SHOWN_PHASES = ("announced", "failed")
_MAX_DIGITS = 18
_MAX_NAMED = 10


def endpoint_id_of(catalogue: Catalogue, endpoint: str, *, workspace: str) -> str:
    """Return the id of an endpoint that is given by its name or id."""
    if kind_of(endpoint) is Kind.ENDPOINT:
        return endpoint
    found = catalogue.id_of(Kind.ENDPOINT, endpoint, workspace=workspace)
    if found is None:
        raise unknown_endpoint(endpoint)
    return found


def existing_endpoint_id(catalogue: Catalogue, endpoint: str, *, workspace: str) -> str:
    """Return the id of an endpoint that is given by its name or id, and exists."""
    identifier = endpoint_id_of(catalogue, endpoint, workspace=workspace)
    if catalogue.get(Kind.ENDPOINT, identifier, workspace=workspace) is None:
        raise unknown_endpoint(endpoint)
    return identifier


def existing_endpoint_ids(catalogue: Catalogue, endpoints: Sequence[str], *, workspace: str) -> list[str | ItemProblem]:
    """Return the id of each, or that it does not exist."""
    found: list[str | ItemProblem] = []
    for endpoint in endpoints:
        try:
            found.append(existing_endpoint_id(catalogue, endpoint, workspace=workspace))
        except errors.EndpointNotFoundError as error:
            found.append(problem_of(error))
    return found


def unknown_endpoint(endpoint: str) -> errors.EndpointNotFoundError:
    """Make the refusal of an endpoint that does not exist."""
    return errors.EndpointNotFoundError(
        f"there is no endpoint {endpoint}", field="endpoint", remedy="list the endpoints, or create it"
    )


def get_endpoint(catalogue: Catalogue, endpoint: str, *, workspace: str) -> EndpointResource:
    """Return one endpoint with its instances."""
    row = catalogue.get(Kind.ENDPOINT, endpoint_id_of(catalogue, endpoint, workspace=workspace), workspace=workspace)
    if row is None:
        raise unknown_endpoint(endpoint)
    return _with_instances(catalogue, [decode_endpoint(row)], workspace=workspace)[0]


def list_endpoints(
    catalogue: Catalogue, *, workspace: str, query: str = "", after: str = "", limit: int = 100
) -> list[EndpointResource]:
    """Return endpoints ordered by id, those after a cursor."""
    rows = catalogue.find(Kind.ENDPOINT, workspace=workspace, name_contains=query, after_id=after, limit=limit)
    return _with_instances(catalogue, [decode_endpoint(row) for row in rows], workspace=workspace)


def some_endpoints(unit: UnitOfWork) -> list[str]:
    """Return the names of a workspace's endpoints, ten of them at most."""
    rows = unit.catalogue.find(Kind.ENDPOINT, workspace=unit.actor.workspace, limit=_MAX_NAMED)
    return [decode_endpoint(row).name for row in rows]


def instances_of(
    catalogue: Catalogue, endpoint_id: str, *, workspace: str, phases: tuple[str, ...] = ("announced",)
) -> list[Instance]:
    """Return an endpoint's instances in some phases."""
    rows = catalogue.children(Kind.INSTANCE, [endpoint_id], workspace=workspace, phases=phases)
    return [decode_instance(row) for row in rows]


def ready_instances(catalogue: Catalogue, endpoint_id: str, *, workspace: str) -> Counter[str]:
    """Count an endpoint's announced instances by deployment."""
    return Counter(each.deployment_id for each in instances_of(catalogue, endpoint_id, workspace=workspace))


def deployable_version(catalogue: Catalogue, version: str, *, workspace: str) -> DeployableVersion:
    """Return what a deployment needs of a version that is given as `model/number` or by its id."""
    row = _version_row(catalogue, version, workspace=workspace)
    if row is None:
        raise errors.VersionNotFoundError(
            f"there is no version {version}", field="version", remedy="give it as model/number, such as digits/2"
        )
    found = msgspec.json.decode(row.body, type=Version)
    return DeployableVersion(
        reference=VersionReference(version_id=found.id, model_name=found.model_name, number=found.number),
        artifact=found.artifact,
        signature=found.signature,
        golden=found.golden,
    )


def _with_instances(catalogue: Catalogue, endpoints: Sequence[Endpoint], *, workspace: str) -> list[EndpointResource]:
    ids = [endpoint.id for endpoint in endpoints]
    of_endpoint: dict[str, list[Instance]] = defaultdict(list)
    for row in catalogue.children(Kind.INSTANCE, ids, workspace=workspace, phases=_SHOWN_PHASES):
        instance = decode_instance(row)
        of_endpoint[instance.endpoint_id].append(instance)
    return [endpoint_resource(endpoint, of_endpoint[endpoint.id]) for endpoint in endpoints]


def _version_row(catalogue: Catalogue, version: str, *, workspace: str) -> CatalogueRow | None:
    if kind_of(version) is Kind.VERSION:
        return catalogue.get(Kind.VERSION, version, workspace=workspace)
    model, _, number = version.rpartition("/")
    if not (model and number.isascii() and number.isdecimal() and len(number) <= _MAX_DIGITS):
        return None
    model_id = model if kind_of(model) is Kind.MODEL else catalogue.id_of(Kind.MODEL, model, workspace=workspace)
    if model_id is None:
        return None
    rows = catalogue.find(Kind.VERSION, workspace=workspace, parent_id=model_id, number=int(number), limit=1)
    return rows[0] if rows else None
