"""The operations of agents on their instances."""

from control_plane.endpoints import errors
from control_plane.endpoints.instances import handlers
from control_plane.errors import Invalid
from infra.operations import AGENT, SERVICES, Command, Operation
from schemas.documents.endpoints import Instance
from schemas.instances import AnnounceInstance, FailInstance, WithdrawInstance

_OK, _CREATED = 200, 201
_INSTANCE = (Invalid, errors.StaleVersionError, errors.InstanceNotFoundError)


def operations() -> list[Operation]:
    """Declare them."""
    return [
        Command(
            method="POST",
            path="/v1/instances",
            handler=handlers.announce_instance,
            asks=AnnounceInstance,
            answers=Instance,
            status=_CREATED,
            also=(_OK,),
            roles=SERVICES,
            duties=AGENT,
            is_for_installation=True,
            summary="Announce an instance that is ready for traffic",
            errors=(*errors.UNKNOWN_DEPLOYMENT, Invalid, errors.InstanceChangedError),
        ),
        Command(
            method="POST",
            path="/v1/instances/{instance_id}/withdraw",
            handler=handlers.withdraw_instance,
            asks=WithdrawInstance,
            answers=Instance,
            roles=SERVICES,
            duties=AGENT,
            is_for_installation=True,
            is_for_closed=True,
            summary="Withdraw an instance from traffic",
            errors=_INSTANCE,
        ),
        Command(
            method="POST",
            path="/v1/instances/{instance_id}/fail",
            handler=handlers.fail_instance,
            asks=FailInstance,
            answers=Instance,
            roles=SERVICES,
            duties=AGENT,
            is_for_installation=True,
            is_for_closed=True,
            summary="Report that the agent has given up on an instance",
            errors=_INSTANCE,
        ),
    ]
