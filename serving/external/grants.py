"""The error about a server at an address that is neither public nor granted to this host."""

import aiohttp

from infra.errors import AddressNotGrantedError

_SETTING = "ROLLBOOK_AGENT_EXTERNAL_NETWORKS"


def explain_grant(error: AddressNotGrantedError) -> str:
    """Return the reason, and what this host's operator can do about it."""
    return f"{error}; to allow it, start the agent of this host with {_SETTING}={','.join(error.addresses)}"


def refused_address(error: Exception) -> AddressNotGrantedError | None:
    """Return why a connection was refused here, or None if it failed for another reason."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    return cause if isinstance(cause, AddressNotGrantedError) else None
