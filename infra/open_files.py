"""How many files and connections a process may have open."""

import resource
from contextlib import suppress

_MAX_OPEN_FILES = 65_536


def raise_open_files_limit() -> None:
    """Allow this process, and those it starts, as many open files as the host lets it have, up to 65,536.

    The default soft limit of 1,024 is for programs that use `select`; ours, Kafka and Envoy hold a connection a caller.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(_MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems name a hard limit that they do not grant.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
