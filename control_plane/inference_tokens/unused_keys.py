"""Puts away the private halves that no event names, in the order of the log."""

import asyncio
from collections.abc import Callable

from control_plane.inference_tokens.signing_keys import SigningKeyStore
from control_plane.ports import Actor, CommandContext, EventStore, Reply, UnitOfWork

WORK = "unused-signing-keys"
_LOOK_EVERY_S = 60.0
_NOTHING = Reply(status=200, body=b"{}", stream_version=None)


class UnusedKeys:
    """Looks for them now and then, as a command that changes nothing: rotations run before or after it."""

    def __init__(self, store: EventStore, keys: SigningKeyStore, *, new_command_id: Callable[[], str]) -> None:
        self._store = store
        self._keys = keys
        self._new_command_id = new_command_id

    async def run(self) -> None:
        """Discard what is unused until cancelled."""
        while True:
            await self.discard()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def discard(self) -> None:
        """Discard what is unused now, in every workspace."""
        await self._store.execute(self._context(), self._discard)

    def _discard(self, unit: UnitOfWork) -> Reply:
        for keys in self._keys.on_disk():
            keys.discard_unused(unit.catalogue)
        return _NOTHING

    def _context(self) -> CommandContext:
        actor = Actor(principal_id=WORK, role="service", workspace=self._keys.home)
        return CommandContext.unasked(actor, self._new_command_id())
