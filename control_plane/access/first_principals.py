"""The admin of a fresh stack, the accounts of its own programs, and the files that hold their tokens."""

import re
from pathlib import Path
from typing import get_args

import structlog

from control_plane.access.commands import RegisterPrincipal
from control_plane.access.handlers import fresh_token, register_principal, sha256_of
from control_plane.access.tokens import TokenIndex
from control_plane.keys.secret_files import write_secret
from control_plane.ports import Actor, CommandContext, EventStore
from infra.secret_files import read_secret_text
from schemas.events.access import Duty

_FIRST = {
    "admin": RegisterPrincipal(kind="person", name="admin", role="admin"),
    **{duty: RegisterPrincipal(kind="service", name=duty, role="service", duty=duty) for duty in get_args(Duty)},
}
_TOKEN = re.compile(r"rb_[A-Za-z0-9_-]{20,200}")
_REMEDY = "put it back from a backup, or delete it: the next start makes another one, for another principal"
_log = structlog.get_logger(__name__)


async def ensure_first_principals(store: EventStore, tokens: TokenIndex, secrets_dir: Path, *, workspace: str) -> None:
    """Make sure that the token files hold tokens that were issued.

    The file is written before the principal is registered: a crash between the two leaves a token that the next start
    registers, never a principal whose token no one knows. A token that somebody revoked stays revoked.

    Raises:
        SecretFileError: a file does not hold a token.
    """
    for name, command in _FIRST.items():
        path = secrets_dir / f"{name}.token"
        if not path.exists():
            _log.warning("token_file_made", path=str(path))
            write_secret(path, fresh_token().encode())
        token = read_secret_text(path, _TOKEN, what="a token of Rollbook (rb_…)", remedy=_REMEDY)
        if not tokens.is_known(sha256_of(token)):
            await _register(store, command, name=name, token=token, workspace=workspace)
            tokens.refresh()


async def _register(store: EventStore, command: RegisterPrincipal, *, name: str, token: str, workspace: str) -> None:
    actor = Actor(principal_id="system", role="admin", workspace=workspace)
    context = CommandContext.unasked(actor, f"first-start-{name}")
    await store.execute(context, lambda unit: register_principal(unit, command, token))
