"""The recorder of an engine's process: follows the capture policy, and marks up to when its spool is complete."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from infra.background import Background
from serving.capture import records
from serving.capture.policy_file import PolicyFile
from serving.capture.recorder import Recorder
from serving.capture.spool import SpoolLimits, SpoolWriter

_MARK_INTERVAL_S = 0.25


@asynccontextmanager
async def recording(
    spool_dir: Path, *, policy_file: Path, max_bytes: int, background: Background
) -> AsyncIterator[Recorder]:
    """Record under the policy in the file while the context is open, and write everything when it closes."""
    writer = SpoolWriter(spool_dir, limits=SpoolLimits(max_bytes=max_bytes), without_detail=records.without_detail)
    policy = PolicyFile(policy_file)
    recorder = Recorder(writer, in_force=policy.read(), background=background)
    recorder.start()
    marking = background.task("capture-marks", lambda: _mark(recorder, policy))
    try:
        yield recorder
    finally:
        marking.cancel()
        with suppress(asyncio.CancelledError):
            await marking
        await asyncio.to_thread(recorder.stop)


async def _mark(recorder: Recorder, policy: PolicyFile) -> None:
    while True:
        in_force = policy.replaced()
        if in_force is not None:
            recorder.follow(in_force)
        recorder.mark()
        await asyncio.sleep(_MARK_INTERVAL_S)
