"""Every operation declares each error that its code can raise.

A test with random requests finds an undeclared one by chance only: some need a rollout under way, or a batch that is
finished. Here the source says it: what a handler names, what that names, and so on.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, TypeGuard

from control_plane.batches import errors as batch_errors
from control_plane.describe import operations
from control_plane.endpoints import errors
from control_plane.errors import RollbookError
from control_plane.rollouts.errors import RolloutNotFoundError
from infra.operations import Operation

# What the rollout that owns the traffic does with its own endpoint, as one that was planned.
OF_THE_OWNER: frozenset[type[RollbookError]] = frozenset(
    {
        errors.DeploymentHasAdaptersError,
        errors.DeploymentIsBackupError,
        errors.DeploymentIsShadowError,
        errors.DeploymentNotFoundError,
        errors.DeploymentNotReadyError,
        errors.DeploymentTakesTrafficError,
        errors.EndpointNotFoundError,
        errors.EndpointOwnedByRolloutError,
        errors.InvalidWeightsError,
        errors.StaleVersionError,
    }
)
CANNOT_HAPPEN: dict[str, frozenset[type[RollbookError]]] = {
    # The endpoint is new: no rollout owns it, and its only deployment takes all the traffic.
    "create_endpoint": frozenset(
        {
            errors.DeploymentNotReadyError,
            errors.EndpointNotFoundError,
            errors.EndpointOwnedByRolloutError,
            errors.InvalidWeightsError,
        }
    ),
    # No one names the version of the endpoint that they have seen, or the deployment.
    "explain_scaling": frozenset({errors.DeploymentNotFoundError, errors.StaleVersionError}),
    "report_load": frozenset({errors.StaleVersionError}),
    "wake_deployment": frozenset({errors.StaleVersionError}),
    # An endpoint that a rollout owns is refused before with a code of its own; the regions are those of the baseline.
    "start_rollout": frozenset({errors.EndpointOwnedByRolloutError, errors.InvalidRegionsError}),
    # It aborts the endpoint's own rollout.
    "rollback_endpoint": OF_THE_OWNER | {RolloutNotFoundError},
    "command_rollout": OF_THE_OWNER,
    "report_measurement": OF_THE_OWNER,
    # Each item has its own answer.
    "report_measured_rollout": OF_THE_OWNER | {RolloutNotFoundError},
}


def test_every_operation_declares_what_its_code_can_raise() -> None:
    undeclared = {
        f"{operation.method} {operation.path} ({function_of(operation).__name__})": missing
        for feature in operations()
        for operation in feature.operations
        if (missing := sorted(each.__name__ for each in undeclared_by(operation)))
    }

    assert undeclared == {}


def test_what_a_function_names_is_followed_to_what_it_raises() -> None:
    by_path = {(each.method, each.path): each for feature in operations() for each in feature.operations}

    shadow = raised_by(function_of(by_path["PUT", "/v1/endpoints/{endpoint}/shadow"]))
    start = raised_by(function_of(by_path["POST", "/v1/batches/{batch_id}/start"]))

    assert {errors.EndpointOwnedByRolloutError, errors.InvalidRegionsError} <= shadow
    assert batch_errors.BatchCountsError in start
    assert batch_errors.BatchCountsError not in shadow


def undeclared_by(operation: Operation) -> set[type[RollbookError]]:
    """Return the errors that an operation can raise and does not declare."""
    handler = function_of(operation)
    declared = (*operation.errors, *operation.item_errors)
    allowed = CANNOT_HAPPEN.get(handler.__name__, frozenset())
    return {each for each in raised_by(handler) if each not in allowed and not issubclass(each, declared)}


def function_of(operation: Operation) -> FunctionType:
    handler = operation.handler
    while isinstance(handler, partial):
        handler = handler.func
    assert isinstance(handler, FunctionType), operation.path
    return handler


def raised_by(function: FunctionType) -> set[type[RollbookError]]:
    """Return the errors that a function or one that it reaches by name makes."""
    reached, left = {function}, [function]
    found: set[type[RollbookError]] = set()
    while left:
        for named in names_in(left.pop()):
            if isinstance(named, type) and issubclass(named, RollbookError):
                found.add(named)
            elif is_ours(named) and named not in reached:
                reached.add(named)
                left.append(named)
    # All others derive from it: it is caught, never made.
    return found - {RollbookError}


def is_ours(named: Any) -> TypeGuard[FunctionType]:  # noqa: ANN401  whatever a name stands for
    return isinstance(named, FunctionType) and named.__module__.startswith("control_plane.")


@functools.cache
def names_in(function: FunctionType) -> tuple[Any, ...]:
    """Return what the names in a function's body stand for."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return tuple(_meanings(tree, function.__globals__))


def _meanings(tree: ast.AST, names: dict[str, Any]) -> Iterator[Any]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in names:
                yield names[name]
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if isinstance(names.get(name), ModuleType):
                yield getattr(names[name], attribute, None)
