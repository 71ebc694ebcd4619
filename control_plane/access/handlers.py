"""Carries out the commands on principals."""

import hashlib
import secrets

import msgspec

from control_plane.access.aggregate import PRINCIPALS, Principal, erase, grant_role, issue_token, revoke_token
from control_plane.access.commands import ErasePrincipal, GrantRole, IssueToken, RegisterPrincipal, RevokeToken
from control_plane.access.errors import LastAdminError, PrincipalUnknownError, StaleVersionError
from control_plane.errors import Invalid
from control_plane.ports import Loaded, Reply, UnitOfWork
from schemas.documents.access import Token
from schemas.envelope import rfc3339
from schemas.events.access import PrincipalRegistered, TokenIssued
from schemas.identifiers import Kind

_CREATED, _OK = 201, 200
_TOKEN_BYTES = 32


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer that holds a token, the only time it is shown."""

    id: str
    token_id: str
    token: str


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a command on a principal."""

    id: str
    role: str
    is_erased: bool


def fresh_token() -> str:
    """Return a bearer token of 256 random bits."""
    return f"rb_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def sha256_of(token: str) -> str:
    """Return the hash by which a token is known."""
    return hashlib.sha256(token.encode()).hexdigest()


def register_principal(
    unit: UnitOfWork, command: RegisterPrincipal, token: str, *, expected_version: int | None = None
) -> Reply:
    """Register a principal with its first token."""
    _require_version(0, expected_version)
    if command.duty is not None and command.role != "service":
        raise Invalid("only a service has a duty", field="duty", remedy="leave it out, or set the role to service")
    principal_id, token_id = unit.new_id(Kind.PRINCIPAL), unit.new_id(Kind.TOKEN)
    registered_id, issued_id = unit.new_id(Kind.EVENT), unit.new_id(Kind.EVENT)
    email = None
    if command.email is not None:
        email = unit.seal(command.email, subject=principal_id, event_id=registered_id)
    registered = PrincipalRegistered(
        kind=command.kind,
        role=command.role,
        name=unit.seal(command.name, subject=principal_id, event_id=registered_id),
        email=email,
        duty=command.duty,
    )
    issued = TokenIssued(token_id=token_id, token_sha256=sha256_of(token), expires_at=None)
    after = unit.append(
        PRINCIPALS, principal_id, expected_version=0, events=(registered, issued), event_ids=(registered_id, issued_id)
    )
    return _issued(after, token_id=token_id, token=token)


def issue_another_token(
    unit: UnitOfWork, principal_id: str, command: IssueToken, token: str, *, expected_version: int | None = None
) -> Reply:
    """Give a principal another token."""
    before = _load(unit, principal_id, expected_version)
    expires_at = None if command.ttl_s is None else rfc3339(unit.now_ms + command.ttl_s * 1000)
    entry = Token(id=unit.new_id(Kind.TOKEN), sha256=sha256_of(token), expires_at=expires_at)
    events = issue_token(before.state, entry)
    after = unit.append(PRINCIPALS, principal_id, expected_version=before.version, events=events)
    return _issued(after, token_id=entry.id, token=token)


def grant_principal_role(
    unit: UnitOfWork, principal_id: str, command: GrantRole, *, expected_version: int | None = None
) -> Reply:
    """Change a principal's role."""
    before = _load(unit, principal_id, expected_version)
    if command.role != "admin":
        _require_another_admin(unit, before.state)
    return _change(unit, before, grant_role(before.state, command.role, command.reason))


def revoke_principal_token(
    unit: UnitOfWork, principal_id: str, token_id: str, command: RevokeToken, *, expected_version: int | None = None
) -> Reply:
    """Revoke a token."""
    before = _load(unit, principal_id, expected_version)
    events = revoke_token(before.state, token_id, command.reason)
    if events and before.state.live_tokens(now_ms=unit.now_ms) == (token_id,):
        _require_another_admin(unit, before.state)
    return _change(unit, before, events)


def erase_principal(
    unit: UnitOfWork, principal_id: str, command: ErasePrincipal, *, expected_version: int | None = None
) -> Reply:
    """Erase a person: the keys go when the command is committed, the log stays as it is and verifies."""
    before = _load(unit, principal_id, expected_version)
    _require_another_admin(unit, before.state)
    answer = _change(unit, before, erase(before.state, unit.keys_of(principal_id), command.reason))
    unit.shred(principal_id)
    return answer


def _load(unit: UnitOfWork, principal_id: str, expected_version: int | None) -> Loaded[Principal]:
    loaded = unit.load(PRINCIPALS, principal_id)
    if loaded.version == 0:
        raise PrincipalUnknownError(principal_id)
    _require_version(loaded.version, expected_version)
    return loaded


def _require_version(found: int, expected: int | None) -> None:
    if expected is not None and expected != found:
        raise StaleVersionError(found=found, expected=expected)


def _require_another_admin(unit: UnitOfWork, principal: Principal) -> None:
    if principal.role != "admin" or not principal.live_tokens(now_ms=unit.now_ms):
        return
    admins = unit.catalogue.find(Kind.PRINCIPAL, workspace=principal.workspace, phases=("admin",), limit=1_000)
    others = (msgspec.json.decode(row.body, type=Principal) for row in admins if row.id != principal.id)
    if not any(other.live_tokens(now_ms=unit.now_ms) for other in others):
        raise LastAdminError


def _change(unit: UnitOfWork, before: Loaded[Principal], events: tuple[msgspec.Struct, ...]) -> Reply:
    after = unit.append(PRINCIPALS, before.state.id, expected_version=before.version, events=events)
    body = Changed(id=after.state.id, role=after.state.role, is_erased=after.state.is_erased)
    return Reply(status=_OK, body=msgspec.json.encode(body), stream_version=after.version)


def _issued(after: Loaded[Principal], *, token_id: str, token: str) -> Reply:
    body = IssuedToken(id=after.state.id, token_id=token_id, token=token)
    return Reply(status=_CREATED, body=msgspec.json.encode(body), stream_version=after.version)
