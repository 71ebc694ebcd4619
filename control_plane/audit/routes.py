"""GET /v1/audit/checkpoint: what the log is right now, signed, for whoever wants to hold us to it later."""

from litestar import Router, get

from control_plane.audit.log_tree import LogTree, SignedCheckpoint
from control_plane.web.authentication import Authentication


def router(authentication: Authentication, tree: LogTree) -> Router:
    """Build the route. The first checkpoint after a start reads the whole log, so none is made in the event loop."""

    @get(
        "/audit/checkpoint",
        guards=[authentication.at_least("viewer", or_service=True)],
        summary="A signed checkpoint over the whole log",
        sync_to_thread=True,
    )
    def checkpoint() -> SignedCheckpoint:
        return tree.checkpoint()

    return Router(path="/v1", route_handlers=[checkpoint], tags=["log"])
