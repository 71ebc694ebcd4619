"""The operations on workspaces, for the administrators of the installation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from control_plane.web.listing import Page, Paging
from control_plane.workspaces import commands, errors, handlers
from control_plane.workspaces.directory import WorkspaceDirectory
from control_plane.workspaces.handlers import EndpointNames, Furnish, ShownWorkspace, shown
from infra.operations import ADMINS, Caller, Command, Operation, Operations, Question

_CREATED = 201

Furnishing = Callable[[str], AbstractAsyncContextManager[Furnish]]
"""Prepares what a workspace of this name has from its first moment on, and settles it once the command has ended."""


def operations(directory: WorkspaceDirectory, *, furnishing: Furnishing, endpoints: EndpointNames) -> Operations:
    """Declare them; `endpoints` names some of a workspace's endpoints."""

    @asynccontextmanager
    async def refreshed(*_: object) -> AsyncIterator[None]:
        # Also where the command seems to fail: it may be committed yet.
        try:
            yield
        finally:
            await asyncio.shield(asyncio.to_thread(directory.refresh))

    @asynccontextmanager
    async def furnished(_caller: Caller, command: commands.CreateWorkspace) -> AsyncIterator[Furnish]:
        async with refreshed(), furnishing(command.name) as furnish:
            yield furnish

    return Operations("workspaces", [*_commands(directory, furnished, refreshed, endpoints), _list(directory)])


def list_workspaces(directory: WorkspaceDirectory, _caller: Caller, asked: Paging) -> Page[ShownWorkspace]:
    """Return a page of all workspaces by name, open and closed."""
    after = [each for each in directory.all() if each.name > asked.cursor]
    items = [shown(each, is_home=each.name == directory.home) for each in after[: asked.size]]
    return Page(items, items[-1].id if len(items) == asked.size else None)


def _commands(
    directory: WorkspaceDirectory,
    furnished: Callable[..., AbstractAsyncContextManager[Furnish]],
    refreshed: Callable[..., AbstractAsyncContextManager[None]],
    endpoints: EndpointNames,
) -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/workspaces",
            handler=partial(handlers.create_workspace, directory),
            sdk="workspaces.create",
            around=furnished,
            within=lambda command: command.name,
            is_for_installation=True,
            asks=commands.CreateWorkspace,
            answers=ShownWorkspace,
            status=_CREATED,
            roles=ADMINS,
            summary="Create a workspace, a tenant of this installation",
            errors=(errors.WorkspaceExistsError,),
        ),
        Command(
            method="POST",
            path="/v1/workspaces/{workspace}/close",
            handler=partial(handlers.close_workspace, directory, endpoints),
            sdk="workspaces.close",
            around=refreshed,
            within=lambda workspace, _command: workspace,
            is_for_installation=True,
            asks=commands.CloseWorkspace,
            answers=ShownWorkspace,
            roles=ADMINS,
            summary="Close a workspace for good; its log stays",
            errors=(errors.WorkspaceNotFoundError, errors.HomeWorkspaceError, errors.WorkspaceInUseError),
        ),
    ]


def _list(directory: WorkspaceDirectory) -> Question:
    return Question(
        method="GET",
        path="/v1/workspaces",
        handler=partial(list_workspaces, directory),
        sdk="workspaces.list",
        is_for_installation=True,
        asks=Paging,
        answers=Page[ShownWorkspace],
        roles=ADMINS,
        summary="List the workspaces, by name",
    )
