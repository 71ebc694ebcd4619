"""Where programs listen unless they are told otherwise: the one place that names the host's own address."""

from ipaddress import IPv4Address

import msgspec

LOOPBACK = "127.0.0.1"
ON_LOOPBACK = IPv4Address(LOOPBACK)


class Hosts(msgspec.Struct, frozen=True, kw_only=True):
    """The address that programs listen on, and the one at which others reach them; without it the same.

    Raises:
        ValueError: nobody could reach the programs there.
    """

    bind: IPv4Address = ON_LOOPBACK
    advertised: IPv4Address | None = None

    def __post_init__(self) -> None:
        """Refuse an address at which nothing would answer."""
        if self.advertised is None:
            return
        if self.advertised.is_unspecified:
            raise ValueError(
                f"ADVERTISED_HOST can't be {self.advertised}, which is no host's address; name one that is"
            )
        if self.bind.is_loopback and not self.advertised.is_loopback:
            raise ValueError(
                f"ADVERTISED_HOST can't be {self.advertised} while BIND_HOST is {self.bind}, which no other host "
                "reaches; set BIND_HOST as well, such as to 0.0.0.0"
            )

    @property
    def dialled(self) -> str:
        """Where this host reaches its own programs."""
        return LOOPBACK if self.bind.is_unspecified else str(self.bind)

    @property
    def announced(self) -> str:
        """Where others are told to reach them."""
        return str(self.advertised or self.dialled)


LOCAL_HOSTS = Hosts()
"""Everything on loopback: what a stack does unless it is told otherwise."""
