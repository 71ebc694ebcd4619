"""What the log is right now, signed, for whoever wants to hold us to it later."""

from functools import partial

from control_plane.audit.log_tree import LogTree, SignedCheckpoint
from infra.operations import READERS, Caller, Operations, Question


def operations(tree: LogTree) -> Operations:
    """Declare them."""
    checkpoint = Question(
        method="GET",
        path="/v1/audit/checkpoint",
        handler=partial(show_checkpoint, tree),
        sdk="log.checkpoint",
        answers=SignedCheckpoint,
        roles=READERS,
        summary="Get a signed checkpoint of the whole log",
    )
    return Operations("log", [checkpoint])


async def show_checkpoint(tree: LogTree, _caller: Caller) -> SignedCheckpoint:
    """Sign a checkpoint. The first one after a start reads the whole log."""
    return await tree.checkpoint()
