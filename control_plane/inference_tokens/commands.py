"""Commands on the keys and tokens of the gateway, as their bodies arrive."""

from typing import Annotated

import msgspec

PersonalText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
MAX_TTL_S = 3_600
_DAY_S = 24 * 3_600


class MintInferenceToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mint an inference token for the gateway."""

    endpoints: Annotated[tuple[PersonalText, ...], msgspec.Meta(min_length=1, max_length=100)]
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=MAX_TTL_S)] = MAX_TTL_S


class RotateSigningKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sign with a new key, `lead_s` seconds from now, once every gateway has it.

    Tokens of the key before stay valid for `overlap_s` more seconds; 0 ends them, and every other key, at once.
    """

    reason: Reason
    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=_DAY_S)] = MAX_TTL_S
    lead_s: Annotated[int, msgspec.Meta(ge=0, le=_DAY_S)] = 10


class RevokeInferenceTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Refuse one token by its id (`jti`), or all that a principal has minted until now."""

    reason: Reason
    token_id: Identifier | None = None
    principal_id: Identifier | None = None
