"""What batches need of other parts."""

from collections.abc import Callable
from typing import Protocol

from infra.operations import Caller


class Minted(Protocol):
    """A token for the gateway."""

    @property
    def token(self) -> str:
        """What is sent as a bearer token."""

    @property
    def expires_at(self) -> str:
        """When it ends, RFC 3339."""


class TokenMint(Protocol):
    """Makes tokens for the gateway."""

    def mint(self, actor: Caller, endpoints: tuple[str, ...], *, ttl_s: int, now_ms: int) -> Minted:
        """Sign a token for an actor and some endpoints.

        Raises:
            Unavailable: the key that is to sign is not on this machine.
        """


RevokedSubjects = Callable[[], tuple[str, ...]]
"""The principals that can no longer act."""
