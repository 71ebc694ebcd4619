"""One function a command: load, decide, append, answer. The rules are in the aggregates."""

from collections.abc import Sequence

import msgspec

from control_plane.ports import Reply, UnitOfWork
from control_plane.registry import aggregate
from control_plane.registry.aggregate import ModelState
from control_plane.registry.commands import RegisterModel, RegisterVersion, RemoveAlias, SetAlias
from control_plane.registry.errors import ModelNotFoundError, StaleVersionError
from control_plane.registry.ports import InspectedFile
from control_plane.registry.queries import model_id_of, version_as_named, version_row
from control_plane.registry.resources import MODELS, VERSIONS, model_resource, version_document
from schemas.identifiers import Kind

_OK, _CREATED = 200, 201


def register_model(unit: UnitOfWork, command: RegisterModel, *, expected_version: int | None) -> Reply:
    """Register a model; the catalogue refuses a name that is taken."""
    _require_version(0, expected_version)
    model = unit.append(MODELS, unit.new_id(Kind.MODEL), expected_version=0, events=aggregate.register_model(command))
    assert model.state is not None, "it was just registered"
    return _model_reply(_CREATED, model.state)


def register_version(
    unit: UnitOfWork, model: str, command: RegisterVersion, file: InspectedFile, *, expected_version: int | None
) -> Reply:
    """Give the model's next number to a version, and register that: two streams, one command."""
    found = _load_model(unit, model, expected_version=expected_version)
    version_id = unit.new_id(Kind.VERSION)
    assigned = aggregate.assign_number(found, version_id=version_id)
    named = command.artifact.parent
    parent = None if named is None else version_as_named(unit.catalogue, named, workspace=unit.actor.workspace)
    events = aggregate.register_version(
        found,
        command,
        number=assigned.number,
        artifact=file.artifact,
        description=file.description,
        parent=parent,
    )
    unit.append(MODELS, found.id, expected_version=found.stream_version, events=[assigned])
    version = unit.append(VERSIONS, version_id, expected_version=0, events=events)
    assert version.state is not None, "it was just registered"
    body = msgspec.json.encode(version_document(version.state))
    return Reply(status=_CREATED, body=body, stream_version=version.version)


def set_alias(unit: UnitOfWork, model: str, alias: str, command: SetAlias, *, expected_version: int | None) -> Reply:
    """Let an alias name one of the model's versions."""
    found = _load_model(unit, model, expected_version=expected_version)
    version = version_row(unit.catalogue, found.id, command.version, workspace=unit.actor.workspace)
    return _changed(unit, found, aggregate.set_alias(found, alias, command, version_id=version.id))


def remove_alias(
    unit: UnitOfWork, model: str, alias: str, command: RemoveAlias, *, expected_version: int | None
) -> Reply:
    """Take an alias away from a model."""
    found = _load_model(unit, model, expected_version=expected_version)
    return _changed(unit, found, aggregate.remove_alias(found, alias, command))


def _changed(unit: UnitOfWork, model: ModelState, events: Sequence[msgspec.Struct]) -> Reply:
    if events:
        after = unit.append(MODELS, model.id, expected_version=model.stream_version, events=events).state
        assert after is not None, "a model stays registered"
        model = after
    return _model_reply(_OK, model)


def _load_model(unit: UnitOfWork, model: str, *, expected_version: int | None) -> ModelState:
    state = unit.load(MODELS, model_id_of(unit.catalogue, model, workspace=unit.actor.workspace)).state
    if state is None:
        raise ModelNotFoundError(model)
    _require_version(state.stream_version, expected_version)
    return state


def _require_version(found: int, expected: int | None) -> None:
    if expected is not None and expected != found:
        raise StaleVersionError(found=found, expected=expected)


def _model_reply(status: int, model: ModelState) -> Reply:
    body = msgspec.json.encode(model_resource(model))
    return Reply(status=status, body=body, stream_version=model.stream_version)
