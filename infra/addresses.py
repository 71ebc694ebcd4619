"""Which addresses are public, and which others the operator of a host grants."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Kind: TypeAlias = Literal["public", "unspecified", "loopback", "link-local", "multicast", "private", "reserved"]

_GIVEN_OUT = IPv6Network("2000::/3")
"""All of IPv6 that has been given out to networks."""
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: tuple[Network, ...] = (
    # Some versions of Python take these for global.
    IPv4Network("192.0.0.0/24"),
    IPv6Network("3fff::/20"),
    # Azure's own service, which gives a virtual machine its secrets.
    IPv4Network("168.63.129.16/32"),
)


class GrantedNetworks:
    """Networks that connections may go to besides public addresses."""

    def __init__(self, *networks: Network) -> None:
        self._networks = networks

    def __str__(self) -> str:
        return ",".join(map(str, self._networks))

    def __bool__(self) -> bool:
        return bool(self._networks)

    def allow(self, address: Address) -> bool:
        """Return whether connections may go there."""
        return kind_of(address) == "public" or any(address in network for network in self._networks)


def read_networks(text: str) -> GrantedNetworks:
    """Read networks separated by commas; a single address is a network of its own.

    Raises:
        ValueError: one of them is not a network; the message quotes it.
    """
    return GrantedNetworks(*(_read_network(part.strip()) for part in text.split(",")))


def read_address(text: str) -> Address:
    """Read an address. An IPv4 address spelled as IPv6 becomes IPv4; the interface of an address is left out.

    Raises:
        ValueError: it is not one in canonical form.
    """
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def kind_of(address: Address) -> Kind:
    """Tell what kind of address it is; one that carries an address of IPv4 is what it carries."""
    carried = _carried_by(address)
    if carried is not None:
        return kind_of(carried)
    kinds: dict[Kind, bool] = {
        "unspecified": address.is_unspecified,
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "multicast": address.is_multicast,
        "public": _is_public(address),
        "private": address.is_private,
    }
    return next((kind for kind, is_it in kinds.items() if is_it), "reserved")


def _is_public(address: Address) -> bool:
    is_given_out = isinstance(address, IPv4Address) or address in _GIVEN_OUT
    return is_given_out and address.is_global and not any(address in network for network in _NOT_PUBLIC)


def _carried_by(address: Address) -> IPv4Address | None:
    """Return what a translator of NAT64 or 6to4 would send on to."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) % 2**32)
    return address.ipv4_mapped or address.sixtofour


def _read_network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network such as 10.2.0.0/16: {error}") from error
