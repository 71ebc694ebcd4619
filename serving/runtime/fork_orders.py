"""What the agent and the fork server say to each other: JSON messages, with descriptors beside them."""

import msgspec


class ForkOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Modules to load, and the environment of a runtime to fork with them; the descriptor of its log comes with it.

    Without an environment nothing is forked. A shared one takes orders for instances itself.
    """

    libraries: tuple[str, ...] = ()
    is_shared: bool = False
    environment: dict[str, str] | None = None


class Forked(msgspec.Struct, frozen=True):
    """The process that was made, whose pidfd comes with this; why there is none; or that only libraries were loaded."""

    pid: int = 0
    error: str = ""
