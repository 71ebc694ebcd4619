"""Single programs of the stack, started by their entry points without the rest."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.launch import launched

_READY_WITHIN_S = 60.0
_STOP_S = 20.0
_POLL_S = 0.02


@contextmanager
def running(program: str, settings: Mapping[str, str], *, is_ready: Callable[[], bool]) -> Iterator[int]:
    """Run a program until the block is left, and give out its pid once it is ready."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROLLBOOK_")}
    environment |= {f"ROLLBOOK_{program.upper()}_{name}": value for name, value in settings.items()}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(launched(program), env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + _READY_WITHIN_S
            while not is_ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{program} did not start: {log.read().decode()[-2000:]}")
                time.sleep(_POLL_S)
            yield process.pid
        finally:
            process.terminate()
            process.wait(_STOP_S)


@contextmanager
def new_folder() -> Iterator[Path]:
    """Make a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="rollbook-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
