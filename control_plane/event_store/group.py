"""What a group of commands has changed and not yet committed."""

from control_plane.event_store.database import Database
from control_plane.event_store.folded_states import FoldedState, FoldedStates
from control_plane.keys.key_file import KeyStore
from control_plane.keys.sealing import StagedKeys


class Group:
    """One transaction's uncommitted view: folded states, keys and the last position, as the next command sees them."""

    def __init__(self, database: Database, *, committed: FoldedStates, keys: KeyStore, head: int) -> None:
        self.database = database
        self.keys = StagedKeys(keys)
        self.head = head
        self.states: dict[str, FoldedState] = {}
        self._committed = committed

    def state(self, stream: str) -> FoldedState | None:
        return self.states.get(stream) or self._committed.get(stream)

    def forget(self, stream: str) -> None:
        """Drop a state that another writer's event proved wrong."""
        self.states.pop(stream, None)
        self._committed.forget(stream)

    def close(self) -> None:
        """Make what was decided the picture of the next group; called once the transaction is committed."""
        self._committed.commit(self.states)
