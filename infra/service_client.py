"""What the calls of Rollbook's own programs to the API have in common: the token, and the workspace to act in."""

from copy import copy
from pathlib import Path
from typing import ClassVar, Self

import httpx

from infra.bearer_token import read_bearer_token
from schemas.identifiers import WORKSPACE_HEADER


class ServiceClient:
    """Calls with a service token, which is reread for each call because it may be replaced."""

    timeout: ClassVar[httpx.Timeout]

    def __init__(self, url: str, *, token_file: Path, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=self.timeout, transport=transport)
        self._token_file = token_file
        self.workspace: str | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def within(self, workspace: str | None) -> Self:
        """Return the same client for what belongs to a workspace; None is the token's own."""
        bound = copy(self)
        bound.workspace = workspace
        return bound

    def _headers(self) -> dict[str, str]:
        """Return the headers of a call.

        Raises:
            TokenUnreadableError: the token cannot be read; it is an OSError.
        """
        headers = {"authorization": f"Bearer {read_bearer_token(self._token_file)}"}
        return {**headers, WORKSPACE_HEADER: self.workspace} if self.workspace else headers
