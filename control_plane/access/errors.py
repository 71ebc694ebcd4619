"""What can be wrong with commands on principals and tokens.

Unknown  ── PrincipalUnknownError, TokenUnknownError
Conflict ── StaleVersionError
Refused  ── PrincipalErasedError, LastAdminError
"""

from control_plane.errors import Conflict, Refused, Unknown


class PrincipalUnknownError(Unknown):
    """No principal has this id."""

    code = "principal-not-found"

    def __init__(self, principal_id: str) -> None:
        super().__init__(f"there is no principal {principal_id}", remedy="list them with GET /v1/principals")


class TokenUnknownError(Unknown):
    """The principal has no such token."""

    code = "token-not-found"

    def __init__(self, token_id: str) -> None:
        super().__init__(f"the principal has no token {token_id}", remedy="its tokens are listed with the principal")


class StaleVersionError(Conflict):
    """The resource has changed since the caller read it."""

    code = "stale-version"

    def __init__(self, *, found: int, expected: int) -> None:
        super().__init__(
            f"the stream is at version {found}, not {expected}",
            field="If-Match",
            remedy="read it again and send the command against the version it has now",
        )


class PrincipalErasedError(Refused):
    """The principal was erased and cannot be changed."""

    code = "principal-erased"

    def __init__(self, principal_id: str) -> None:
        super().__init__(f"{principal_id} was erased", remedy="register the person or program again")


class LastAdminError(Refused):
    """The last administrator cannot lose its role or its token."""

    code = "last-admin"

    def __init__(self) -> None:
        super().__init__("this is the last admin with a token", remedy="make another principal admin first")
