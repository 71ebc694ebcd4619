"""Where programs listen unless they are told otherwise: the one place that names the host's own address."""

import socket
from ipaddress import IPv4Address

import msgspec

from infra.errors import CannotStartError

LOOPBACK = "127.0.0.1"
ON_LOOPBACK = IPv4Address(LOOPBACK)
_BROADCAST = IPv4Address("255.255.255.255")


class Hosts(msgspec.Struct, frozen=True, kw_only=True):
    """The address that programs listen on, and the one at which others reach them; without it the same.

    Raises:
        ValueError: no one could reach the programs there.
    """

    bind: IPv4Address = ON_LOOPBACK
    advertised: IPv4Address | None = None

    def __post_init__(self) -> None:
        """Refuse an address at which nothing would answer."""
        if self.advertised is None:
            if self.bind.is_unspecified:
                raise ValueError(
                    f"ADVERTISED_HOST is not set, and BIND_HOST {self.bind} is not an address that others can reach; "
                    "set it to the address at which other hosts reach this one"
                )
            return
        if self.advertised.is_unspecified or self.advertised.is_multicast or self.advertised == _BROADCAST:
            raise ValueError(
                f"ADVERTISED_HOST cannot be {self.advertised}, which is not a host's address; name one that is"
            )
        if self.bind.is_loopback and not self.advertised.is_loopback:
            raise ValueError(
                f"ADVERTISED_HOST cannot be {self.advertised} while BIND_HOST is {self.bind}, which no other host "
                "reaches; set BIND_HOST as well, such as to 0.0.0.0"
            )
        if self.advertised.is_loopback and not (self.bind.is_loopback or self.bind.is_unspecified):
            raise ValueError(
                f"ADVERTISED_HOST cannot be {self.advertised} while BIND_HOST is {self.bind}: nothing listens there; "
                "unset it, or bind to 0.0.0.0"
            )

    @property
    def dialled(self) -> str:
        """Where this host reaches its own programs."""
        return LOOPBACK if self.bind.is_unspecified else str(self.bind)

    @property
    def announced(self) -> str:
        """The address at which others reach them."""
        return str(self.advertised or self.dialled)


LOCAL_HOSTS = Hosts()
"""Everything on loopback: what a stack does unless it is told otherwise."""


def require_own(address: IPv4Address) -> None:
    """Refuse an address that this host has not.

    Raises:
        CannotStartError: nothing can listen there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            raise CannotStartError(
                f"BIND_HOST is {address}, which cannot be bound ({error.strerror}); name an address of this host"
            ) from error
