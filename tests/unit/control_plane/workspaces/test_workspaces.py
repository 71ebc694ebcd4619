"""A workspace is created once and closed for good."""

import msgspec
import pytest

from control_plane.workspaces import aggregate
from control_plane.workspaces.aggregate import WORKSPACES, Workspace
from control_plane.workspaces.commands import CloseWorkspace, CreateWorkspace
from control_plane.workspaces.errors import WorkspaceExistsError
from schemas.events.workspaces import WorkspaceClosed, WorkspaceCreated
from tests.support.spec import Given

CREATED = WorkspaceCreated(name="acme", description="of Acme")
CLOSED = WorkspaceClosed(reason="the contract ended")


def given(*events: msgspec.Struct) -> Workspace:
    return Given(WORKSPACES, *events).state


def test_a_name_is_given_once() -> None:
    command = CreateWorkspace(name="acme", description="of Acme")

    assert aggregate.create(given(), command) == [CREATED]
    for earlier in (given(CREATED), given(CREATED, CLOSED)):
        with pytest.raises(WorkspaceExistsError):
            aggregate.create(earlier, command)


def test_closed_twice_is_closed_once() -> None:
    command = CloseWorkspace(reason=CLOSED.reason)

    assert aggregate.close(given(CREATED), command) == [CLOSED]
    assert aggregate.close(given(CREATED, CLOSED), command) == []


@pytest.mark.parametrize("name", ["ab", "a1", "acme-eu-1", "a" * 63, "42"])
def test_a_dns_label_is_a_name(name: str) -> None:
    assert msgspec.convert({"name": name}, CreateWorkspace).name == name


@pytest.mark.parametrize(
    "name", ["", "a", "A1", "acme_eu", "-acme", "acme-", "a/b", "a b", "a.b", "ä1", "a" * 64, "*", "acme\n"]
)
def test_nothing_else_is_a_name(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": name}, CreateWorkspace)
