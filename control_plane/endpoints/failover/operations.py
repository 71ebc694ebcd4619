"""The operations on failover: the policy that people choose, and the reports of gateways."""

from control_plane.endpoints import errors
from control_plane.endpoints.failover import handlers
from control_plane.endpoints.failover.requests import SetFailoverPolicyRequest
from control_plane.endpoints.resources import EndpointResource
from control_plane.errors import Invalid
from infra.operations import GATEWAY, OPERATORS, SERVICES, Command, Operation
from schemas.failover import ReportFailoverEnd, ReportFailoverStart


def policy_operations() -> list[Operation]:
    """Declare those of people."""
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/failover-policy",
            handler=handlers.set_failover_policy,
            sdk="endpoints.set_failover_policy",
            asks=SetFailoverPolicyRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose who answers when instances cannot be reached",
            errors=(*errors.STALE, errors.InvalidFailoverPolicyError, errors.InvalidRegionsError),
        ),
    ]


def report_operations() -> list[Operation]:
    """Declare those of gateways."""
    return [
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/failover-started",
            handler=handlers.report_failover_start,
            asks=ReportFailoverStart,
            answers=EndpointResource,
            roles=SERVICES,
            duties=GATEWAY,
            is_for_installation=True,
            summary="Report that a failover has started in a region",
            errors=(*errors.UNKNOWN_DEPLOYMENT, Invalid),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/failover-ended",
            handler=handlers.report_failover_end,
            asks=ReportFailoverEnd,
            answers=EndpointResource,
            roles=SERVICES,
            duties=GATEWAY,
            is_for_installation=True,
            is_for_closed=True,
            summary="Report that a failover has ended in a region",
            errors=(*errors.STALE, Invalid),
        ),
    ]
