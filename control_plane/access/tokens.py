"""Whose a bearer token is: an index by hash, kept in memory and read again when access changes."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock

import msgspec

from control_plane.access.aggregate import Principal
from control_plane.ports import Actor, Catalogue
from infra.clock import Clock
from schemas.identifiers import Kind


class TokenIndex:
    """Implements `Tokens`; the API's process is the only writer, so that its own changes are all there are."""

    def __init__(self, catalogue: Callable[[], Catalogue], *, clock: Clock) -> None:
        """Read the principals once."""
        self._catalogue = catalogue
        self._clock = clock
        self._holders: dict[str, tuple[Actor, int | None]] = {}
        self._issued: frozenset[str] = frozenset()
        self._revoked: tuple[str, ...] = ()
        self._refreshing = Lock()
        """Held while reading too: what was read earlier must not replace what was read later."""
        self.refresh()

    def actor_of(self, token_sha256: str) -> Actor | None:
        """Return who holds a token, or None when it is unknown, expired or revoked."""
        holder = self._holders.get(token_sha256)
        if holder is None:
            return None
        actor, expires_at_ms = holder
        return None if expires_at_ms is not None and self._clock.now_ms() >= expires_at_ms else actor

    def is_known(self, token_sha256: str) -> bool:
        """Return whether a token was ever issued, whatever became of it."""
        return token_sha256 in self._issued

    def revoked_subjects(self) -> tuple[str, ...]:
        """Return the principals that can no longer act, whose inference tokens the gateway must refuse."""
        return self._revoked

    def refresh(self) -> None:
        """Read the principals again; safe from any thread."""
        with self._refreshing:
            self._read()

    def _read(self) -> None:
        holders: dict[str, tuple[Actor, int | None]] = {}
        issued: set[str] = set()
        revoked: list[str] = []
        rows = self._catalogue().of_all_workspaces(Kind.PRINCIPAL)
        for principal in (msgspec.json.decode(row.body, type=Principal) for row in rows):
            issued.update(token.sha256 for token in principal.tokens)
            if not principal.has_unrevoked_token:
                revoked.append(principal.id)
                continue
            actor = _actor(principal)
            for token in principal.tokens:
                if not token.is_revoked:
                    holders[token.sha256] = (actor, _unix_ms(token.expires_at))
        self._holders, self._issued, self._revoked = holders, frozenset(issued), tuple(revoked)


def _actor(principal: Principal) -> Actor:
    # A person who was once a service has no duty any more.
    duty = principal.duty if principal.role == "service" else None
    return Actor(principal_id=principal.id, role=principal.role, workspace=principal.workspace, duty=duty)


def _unix_ms(at: str | None) -> int | None:
    return None if at is None else int(datetime.fromisoformat(at).astimezone(UTC).timestamp() * 1000)
