"""Somebody can always let others in: an admin whose tokens have expired is no one."""

import pytest

from control_plane.access.aggregate import PRINCIPALS
from control_plane.access.commands import ErasePrincipal, GrantRole, RevokeToken
from control_plane.access.errors import LastAdminError
from control_plane.access.handlers import erase_principal, grant_principal_role, revoke_principal_token
from control_plane.ports import UnitOfWork
from schemas.envelope import Sealed, rfc3339
from schemas.events.access import PrincipalErased, PrincipalRegistered, TokenIssued
from tests.support.memory_log import MemoryLog

ADA, BOB = "principal-ada", "principal-bob"
HOUR_MS = 3_600_000


def admins(log: MemoryLog, **expiries: int | None) -> None:
    """Let admins in, each with one token, which expires so long after now."""

    def register(unit: UnitOfWork) -> None:
        for name, expires_in_ms in expiries.items():
            sealed = Sealed(key_id="key", ciphertext="")
            expires_at = None if expires_in_ms is None else rfc3339(log.now_ms + expires_in_ms)
            events = (
                PrincipalRegistered(kind="person", role="admin", name=sealed, email=None),
                TokenIssued(token_id=f"token-{name}", token_sha256=name, expires_at=expires_at),
            )
            unit.append(PRINCIPALS, f"principal-{name}", expected_version=0, events=events)

    log.run(register)


def revoke(log: MemoryLog, principal_id: str, token_id: str) -> None:
    log.run(lambda unit: revoke_principal_token(unit, principal_id, token_id, RevokeToken(reason="lost")))


def refuse_to_lose_ada(log: MemoryLog) -> None:
    """Check that nothing takes from the last admin what lets her in."""
    with pytest.raises(LastAdminError):
        revoke(log, ADA, "token-ada")
    with pytest.raises(LastAdminError):
        log.run(lambda unit: grant_principal_role(unit, ADA, GrantRole(role="viewer")))
    with pytest.raises(LastAdminError):
        log.run(lambda unit: erase_principal(unit, ADA, ErasePrincipal(reason="asked")))


def test_an_admin_whose_token_has_expired_is_no_other_admin() -> None:
    log = MemoryLog()
    admins(log, ada=None, bob=HOUR_MS)
    log.now_ms += HOUR_MS

    refuse_to_lose_ada(log)


def test_an_admin_whose_token_was_revoked_is_no_other_admin() -> None:
    log = MemoryLog()
    admins(log, ada=None, bob=None)
    revoke(log, BOB, "token-bob")

    refuse_to_lose_ada(log)


def test_an_admin_who_was_erased_is_no_other_admin() -> None:
    log = MemoryLog()
    admins(log, ada=None, bob=None)
    erased = PrincipalErased(key_ids=("key",), reason="asked")
    log.run(lambda unit: unit.append(PRINCIPALS, BOB, expected_version=2, events=(erased,)))

    refuse_to_lose_ada(log)


def test_an_admin_who_was_demoted_is_no_other_admin() -> None:
    log = MemoryLog()
    admins(log, ada=None, bob=None)
    log.run(lambda unit: grant_principal_role(unit, BOB, GrantRole(role="operator")))

    refuse_to_lose_ada(log)


def test_an_admin_whose_token_lasts_is_another_admin() -> None:
    log = MemoryLog()
    admins(log, ada=None, bob=HOUR_MS)

    revoke(log, ADA, "token-ada")

    assert log.load(PRINCIPALS, ADA).state.live_tokens(now_ms=log.now_ms) == ()


def test_an_expired_token_of_the_last_admin_can_be_revoked() -> None:
    log = MemoryLog()
    admins(log, ada=None)
    expired = TokenIssued(token_id="token-old", token_sha256="old", expires_at=rfc3339(log.now_ms))
    log.run(lambda unit: unit.append(PRINCIPALS, ADA, expected_version=2, events=(expired,)))

    revoke(log, ADA, "token-old")

    with pytest.raises(LastAdminError):
        revoke(log, ADA, "token-ada")


def test_an_admin_who_can_act_no_more_can_be_demoted_beside_the_last_one() -> None:
    log = MemoryLog()
    admins(log, ada=None, bob=0)

    log.run(lambda unit: grant_principal_role(unit, BOB, GrantRole(role="viewer")))

    assert log.load(PRINCIPALS, BOB).state.role == "viewer"
