"""Messages between the agent and the fork server: JSON, with file descriptors attached."""

import msgspec


class ForkOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Modules to load, and the environment of a runtime to fork with them; its log's descriptor is attached.

    Without an environment nothing is forked. A shared runtime takes orders for instances itself.
    """

    libraries: tuple[str, ...] = ()
    is_shared: bool = False
    environment: dict[str, str] | None = None


class Forked(msgspec.Struct, frozen=True):
    """The new process, with its pidfd attached; or why there is none; or that only libraries were loaded."""

    pid: int = 0
    error: str = ""
