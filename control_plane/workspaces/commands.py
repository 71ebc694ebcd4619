"""Commands on workspaces, as their bodies arrive."""

from typing import Annotated

import msgspec

NAME = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z"
MIN_NAME, MAX_NAME = 2, 63
WorkspaceName = Annotated[str, msgspec.Meta(min_length=MIN_NAME, max_length=MAX_NAME, pattern=NAME)]
"""A DNS label, so that it can stand in host names, paths, headers and folders."""
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class CreateWorkspace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Create a workspace. Its name never changes, and no other workspace ever gets it."""

    name: WorkspaceName
    description: Annotated[str, msgspec.Meta(max_length=1_000)] = ""


class CloseWorkspace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Close a workspace for good: its principals can no longer act, and nothing in it can be changed."""

    reason: Reason
