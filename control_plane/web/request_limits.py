"""How fast each caller may send requests: a token bucket for each principal, and for each address without a token."""

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable

from control_plane.errors import Unavailable
from control_plane.ports import Actor
from infra.clock import Clock

MAX_BUCKETS = 10_000
_NETWORK_BITS = 64


class TooManyRequestsError(Unavailable):
    """The caller sends requests faster than the API accepts from one principal, or from one address without a token."""

    code = "too-many-requests"

    def __init__(self, *, per_second: int, burst: int) -> None:
        super().__init__(
            f"more than {per_second} requests a second arrive from you, after a burst of {burst}",
            remedy="wait as long as Retry-After says and send fewer at once; the API's operator sets the limit with "
            "ROLLBOOK_API_REQUESTS_PER_SECOND_EACH and ROLLBOOK_API_REQUESTS_BURST_EACH",
        )


class TokenBuckets:
    """A bucket for each key; each holds `burst` tokens and gets `per_second` of them back.

    A bucket is one number: when it will be full again. The least recently used one is forgotten when there are
    `MAX_BUCKETS`, as if it were full. For one thread; takes no lock and never waits.
    """

    def __init__(self, *, per_second: int, burst: int, clock: Clock) -> None:
        self._interval_s = 1 / per_second
        # Half a token more than a whole number, so that rounding never costs one.
        self._depth_s = (burst - 0.5) / per_second
        self._clock = clock
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: Hashable) -> bool:
        """Take a token, or return False where there is none."""
        now = self._clock.monotonic()
        full_at = max(self._full_at.get(key, now), now)
        if full_at - now > self._depth_s:
            return False
        self._full_at[key] = full_at + self._interval_s
        self._full_at.move_to_end(key)
        if len(self._full_at) > MAX_BUCKETS:
            self._full_at.popitem(last=False)
        return True


class RequestLimits:
    """The same limit for each caller, and none where `per_second` is 0.

    Services of the home workspace are exempt: they are Rollbook's own programs, which nobody may starve. Addresses
    have buckets of their own, so that a flood without tokens makes no principal's bucket be forgotten.
    """

    def __init__(self, *, per_second: int, burst: int, home: str, clock: Clock) -> None:
        self._per_second, self._burst, self._home = per_second, burst, home
        self._of_principals, self._of_addresses = (
            None if per_second == 0 else TokenBuckets(per_second=per_second, burst=burst, clock=clock) for _ in range(2)
        )

    def admit_principal(self, actor: Actor) -> None:
        """Count a request of a principal, by the workspace that it belongs to.

        Raises:
            TooManyRequestsError: it sent too many.
        """
        if actor.role == "service" and actor.workspace == self._home:
            return
        self._take(self._of_principals, (actor.workspace, actor.principal_id))

    def admit_address(self, address: str) -> None:
        """Count a request without a valid token.

        Raises:
            TooManyRequestsError: too many came from there.
        """
        self._take(self._of_addresses, network_of(address))

    def _take(self, buckets: TokenBuckets | None, key: Hashable) -> None:
        if buckets is not None and not buckets.take(key):
            raise TooManyRequestsError(per_second=self._per_second, burst=self._burst)


def network_of(address: str) -> str:
    """Return what counts as one caller: an IPv4 address, or the network of IPv6 that one host gets to itself."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], _NETWORK_BITS), strict=False))
    except ValueError:
        return address
