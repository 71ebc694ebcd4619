"""One function a command: load, decide, append, answer. The rules are in the aggregates."""

import msgspec

from control_plane.ports import FileDescription, Loaded, Reply, UnitOfWork
from control_plane.registry import aggregate
from control_plane.registry.aggregate import RegisteredModel
from control_plane.registry.commands import RegisterModel, RegisterVersion, RemoveAlias, SetAlias, VersionContent
from control_plane.registry.errors import ModelNotFoundError, StaleVersionError
from control_plane.registry.policies import complete_signature
from control_plane.registry.ports import InspectedFile
from control_plane.registry.queries import model_id_of, version_as_named, version_row
from control_plane.registry.resources import (
    MODELS,
    VERSIONS,
    model_document,
    model_resource,
    version_resource,
)
from schemas.events.registry import Artifact, GoldenExample
from schemas.identifiers import Kind

_OK, _CREATED = 200, 201


def register_model(unit: UnitOfWork, command: RegisterModel, *, expected_version: int | None) -> Reply:
    """Register a model; the catalogue refuses a name that is taken."""
    _require_version(0, expected_version)
    model = unit.append(MODELS, unit.new_id(Kind.MODEL), expected_version=0, events=aggregate.register_model(command))
    return _reply(_CREATED, model_resource(model_document(model.state)), stream_version=model.version)


def register_version(
    unit: UnitOfWork, model: str, command: RegisterVersion, file: InspectedFile, *, expected_version: int | None
) -> Reply:
    """Give the model's next number to a version, and register that: two streams, one command."""
    artifact = file.artifact
    loaded = _load_model(unit, model)
    _require_version(loaded.version, expected_version)
    version_id = unit.new_id(Kind.VERSION)
    assigned = aggregate.assign_number(loaded.state, version_id=version_id)
    named, parent = command.artifact.parent, None
    if named is not None:
        parent = version_as_named(unit.catalogue, named, workspace=unit.actor.workspace)
        artifact = msgspec.structs.replace(artifact, parent=parent.id)
    events = aggregate.register_version(
        loaded.state,
        _content(command, artifact, file.description),
        number=assigned.number,
        parent=parent.artifact if parent else None,
    )
    unit.append(MODELS, loaded.state.id, expected_version=loaded.version, events=[assigned])
    version = unit.append(VERSIONS, version_id, expected_version=0, events=events)
    return _reply(_CREATED, version_resource(version.state), stream_version=version.version)


def set_alias(unit: UnitOfWork, model: str, alias: str, command: SetAlias, *, expected_version: int | None) -> Reply:
    """Let an alias name one of the model's versions."""
    loaded = _load_model(unit, model)
    _require_version(loaded.version, expected_version)
    version = version_row(unit.catalogue, loaded.state.id, command.version, workspace=unit.actor.workspace)
    events = aggregate.set_alias(loaded.state, alias, command, version_id=version.id)
    return _changed(unit, loaded, events)


def remove_alias(
    unit: UnitOfWork, model: str, alias: str, command: RemoveAlias, *, expected_version: int | None
) -> Reply:
    """Take an alias away from a model."""
    loaded = _load_model(unit, model)
    _require_version(loaded.version, expected_version)
    return _changed(unit, loaded, aggregate.remove_alias(loaded.state, alias, command))


def _changed(unit: UnitOfWork, loaded: Loaded[RegisteredModel], events: list[msgspec.Struct]) -> Reply:
    model = unit.append(MODELS, loaded.state.id, expected_version=loaded.version, events=events) if events else loaded
    return _reply(_OK, model_resource(model_document(model.state)), stream_version=model.version)


def _load_model(unit: UnitOfWork, model: str) -> Loaded[RegisteredModel]:
    loaded = unit.load(MODELS, model_id_of(unit.catalogue, model, workspace=unit.actor.workspace))
    if loaded.version == 0:
        raise ModelNotFoundError(model)
    return loaded


def _content(command: RegisterVersion, artifact: Artifact, description: FileDescription | None) -> VersionContent:
    golden = command.golden
    signature, inferred = complete_signature(command.signature, description)
    return VersionContent(
        artifact=artifact,
        description=description,
        signature=signature,
        inferred=inferred,
        golden=None if golden is None else msgspec.convert(golden, GoldenExample, from_attributes=True),
        parameters=command.parameters,
        metrics=command.metrics,
        tags=command.tags,
    )


def _require_version(found: int, expected: int | None) -> None:
    if expected is not None and expected != found:
        raise StaleVersionError(found=found, expected=expected)


def _reply(status: int, answer: msgspec.Struct, *, stream_version: int) -> Reply:
    return Reply(status=status, body=msgspec.json.encode(answer), stream_version=stream_version)
