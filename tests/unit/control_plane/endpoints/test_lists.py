from typing import Any

import msgspec
import pytest

from control_plane.endpoints.queries import list_endpoints
from control_plane.ports import CatalogueRow
from schemas.documents.endpoints import Deployment, Instance
from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact
from schemas.identifiers import Kind
from tests.support.memory_log import MemoryCatalogue
from tests.support.routing import instance, route


class CountedCatalogue(MemoryCatalogue):
    """Counts what is asked of it."""

    def __init__(self, rows: dict[str, CatalogueRow]) -> None:
        super().__init__(rows)
        self.asked = 0

    def find(self, *arguments: Any, **filters: Any) -> list[CatalogueRow]:  # noqa: ANN401  as the port says
        self.asked += 1
        return super().find(*arguments, **filters)

    def children(self, *arguments: Any, **filters: Any) -> list[CatalogueRow]:  # noqa: ANN401  the same
        self.asked += 1
        return super().children(*arguments, **filters)


def row(kind: Kind, document: Any, **more: Any) -> CatalogueRow:  # noqa: ANN401  what the kind has
    return CatalogueRow(
        workspace="default",
        kind=kind,
        id=document.id,
        name=None,
        created_at="",
        stream_version=1,
        body=msgspec.json.encode(document),
        **more,
    )


def rows_of(endpoint_id: str, *instances: Instance) -> list[CatalogueRow]:
    deployment = Deployment(
        id="d",
        version=VersionReference(version_id="version-1", model_name="digits", number=1),
        artifact=Artifact(digest="sha256:" + "0" * 64, size_bytes=1, format="skops"),
        signature_id="signature-1",
        replicas=2,
    )
    endpoint = msgspec.structs.replace(route(endpoint_id).document, deployments=(deployment,))
    theirs = [msgspec.structs.replace(each, endpoint_id=endpoint_id) for each in instances]
    return [
        row(Kind.ENDPOINT, endpoint),
        *(row(Kind.INSTANCE, each, parent_id=endpoint_id, phase=each.phase) for each in theirs),
    ]


def engine(instance_id: str, phase: str) -> Instance:
    made = instance(instance_id, deployment_id="d", region="local")
    return msgspec.structs.replace(made, phase=phase, code="start-failed", reason=f"{instance_id} {phase}")


@pytest.mark.parametrize("count", [1, 30])
def test_a_list_of_endpoints_takes_two_questions_however_many_there_are(count: int) -> None:
    rows = [
        each
        for number in range(count)
        for each in rows_of(
            f"endpoint-{number:02}",
            engine(f"a-{number}", "announced"),
            engine(f"f-{number}", "failed"),
            engine(f"w-{number}", "withdrawn"),
        )
    ]
    catalogue = CountedCatalogue({each.id: each for each in rows})

    listed = list_endpoints(catalogue, workspace="default")

    shown = [
        (endpoint.id, [each.id for each in deployment.instances], deployment.failure)
        for endpoint in listed
        for deployment in endpoint.deployments
    ]
    assert shown == [
        (f"endpoint-{number:02}", [f"a-{number}"], f"f-{number} failed (start-failed)") for number in range(count)
    ]
    assert catalogue.asked == 2
