"""The stack that the demo runs on: started for it, ended with it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rollbook.cli.profile import Profile
from rollbook.local_stack import StackStatus, start_supervisor, stop, wait_until_ready

_START_TIMEOUT_S = 180.0


@contextmanager
def running_stack(data_dir: Path, *, settings: Mapping[str, str], keep: bool) -> Iterator[tuple[Profile, StackStatus]]:
    """Start the embedded stack on a data directory, and end all of it at the end; keep it if all went well.

    The supervisor has a session of its own: Ctrl-C reaches the demo alone, which then ends the stack in order.
    """
    profile = Profile(data_dir=data_dir, url=None, token=None, workspace=None, as_json=False)
    supervisor = start_supervisor(data_dir, in_new_session=True, settings=settings)
    try:
        yield profile, wait_until_ready(profile.stack, supervisor, timeout_s=_START_TIMEOUT_S)
    except BaseException:
        stop(supervisor)
        raise
    if not keep:
        stop(supervisor)
