"""What can be wrong with commands on the keys and tokens of the gateway.

Invalid     ── RevocationUnclearError
Unknown     ── EndpointScopeUnknownError, TokenHolderUnknownError
Refused     ── RotationUnderWayError, TooManySigningKeysError, TooManyRevocationsError
Unavailable ── SigningKeyMissingError
"""

from control_plane.errors import Invalid, Refused, Unavailable, Unknown


class RevocationUnclearError(Invalid):
    """The revocation has to name either one token or one principal."""

    code = "revocation-unclear"

    def __init__(self) -> None:
        super().__init__(
            "the revocation must name either a token or a principal",
            field="token_id",
            remedy="send token_id, or principal_id for all tokens that it minted until now",
        )


class EndpointScopeUnknownError(Unknown):
    """An inference token was requested for an endpoint that does not exist."""

    code = "endpoint-not-found"

    def __init__(self, name: str, *, index: int) -> None:
        super().__init__(
            f"there is no endpoint {name!r}",
            field=f"endpoints[{index}]",
            remedy="name existing endpoints, or * for all",
        )


class TokenHolderUnknownError(Unknown):
    """No principal with this id can have minted tokens."""

    code = "principal-not-found"

    def __init__(self, principal_id: str) -> None:
        super().__init__(
            f"there is no principal {principal_id}",
            field="principal_id",
            remedy="list them with GET /v1/principals",
        )


class RotationUnderWayError(Refused):
    """The signing key of the last rotation is not in use yet."""

    code = "key-rotation-under-way"

    def __init__(self, signs_from: str) -> None:
        super().__init__(
            f"a new key starts signing at {signs_from}",
            remedy="wait until then, or send overlap_s 0 to end all earlier keys immediately",
        )


class TooManySigningKeysError(Refused):
    """Gateways accept no more signing keys at the same time."""

    code = "too-many-signing-keys"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} keys are still valid",
            remedy="wait until the oldest expires, or send overlap_s 0 to end all earlier keys immediately",
        )


class TooManyRevocationsError(Refused):
    """The gateway cannot check more revocations for each request."""

    code = "too-many-revocations"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} revocations are still in force",
            remedy="revoke by principal_id, or rotate the key with overlap_s 0, which ends every token",
        )


class SigningKeyMissingError(Unavailable):
    """The private key that has to sign is not on this machine."""

    code = "signing-key-missing"

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"the private half of key {key_id} is missing from the secrets",
            remedy="put the file back, or rotate the key: POST /v1/inference-tokens/rotate-key",
        )
