"""`rollbook tokens …`: the signing key of inference tokens, and tokens that end early."""

import click

from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile

_REASON = click.option("--reason", required=True, help="Reason, recorded in the audit log.")


@click.group()
def tokens() -> None:
    """Rotate the signing key of inference tokens, or revoke tokens."""


@tokens.command("rotate-key")
@click.option("--overlap", "overlap_s", type=click.IntRange(0, 86_400), default=3_600, show_default=True)
@click.option("--lead", "lead_s", type=click.IntRange(0, 86_400), default=10, show_default=True)
@_REASON
@pass_profile
def rotate_key(profile: Profile, overlap_s: int, lead_s: int, reason: str) -> None:
    """Sign with a new key, --lead seconds from now, once every gateway has it.

    Tokens signed with earlier keys stay valid for --overlap more seconds; 0 ends all earlier keys immediately.
    """
    with profile.client() as rollbook:
        rotated = rollbook.inference_tokens.rotate_key(reason=reason, overlap_s=overlap_s, lead_s=lead_s)
    show(profile, rotated.keys, columns=("key_id", "signs_from", "valid_until"))


@tokens.command("revoke")
@click.argument("token_id", required=False)
@click.option("--principal", "principal_id", help="Revoke all tokens that this principal has minted so far.")
@_REASON
@pass_profile
def revoke(profile: Profile, token_id: str | None, principal_id: str | None, reason: str) -> None:
    """Revoke the token TOKEN_ID (its `jti`); gateways reject it from now on."""
    if (token_id is None) == (principal_id is None):
        message = "name either a TOKEN_ID or a --principal"
        raise click.UsageError(message)
    with profile.client() as rollbook:
        revoked = rollbook.inference_tokens.revoke(reason=reason, token_id=token_id, principal_id=principal_id)
    show(profile, revoked, columns=("revocations", "position"))


@tokens.command("keys")
@pass_profile
def keys(profile: Profile) -> None:
    """List the public keys that gateways verify tokens with."""
    with profile.client() as rollbook:
        known = rollbook.inference_tokens.keys()
    show(profile, known.keys, columns=("kid", "kty", "crv", "alg", "x"))
