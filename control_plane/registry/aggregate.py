"""The registered model, which owns a name and gives numbers, and the version, which never changes."""

import msgspec
from msgspec.structs import asdict, replace

from control_plane.ports import EventContext, FileDescription
from control_plane.registry.commands import RegisterModel, RegisterVersion, RemoveAlias, SetAlias
from control_plane.registry.policies import (
    adapters_have_a_model_as_parent,
    aliases_are_not_numbers,
    classes_are_told_from_indices,
    complete_signature,
    files_can_keep_what_signatures_promise,
    golden_examples_fit_the_signature,
    missing_values_are_floats_of_inputs,
    names_fit_in_a_path,
    sizes_are_fixed_or_free,
    tensor_names_are_unique,
)
from schemas.documents.models import Model
from schemas.documents.versions import Version
from schemas.events.registry import (
    Artifact,
    GoldenExample,
    ModelRegistered,
    ModelVersionRegistered,
    VersionAliasRemoved,
    VersionAliasSet,
    VersionNumberAssigned,
)


class ModelState(Model, frozen=True, kw_only=True):
    """A model that was registered: its document, and where its stream is."""

    workspace: str
    stream_version: int


class VersionState(Version, frozen=True, kw_only=True):
    """A version that was registered: its document, and where its stream is."""

    workspace: str
    stream_version: int


def evolve_model(state: ModelState | None, event: msgspec.Struct, context: EventContext) -> ModelState:
    """Fold one event; it happened, so nothing is refused here. The first one registers the model."""
    if isinstance(event, ModelRegistered):
        return ModelState(
            id=context.stream,
            workspace=context.workspace,
            **asdict(event),
            latest_version=None,
            created_at=context.at,
            stream_version=context.version,
        )
    assert state is not None, "nothing happens to a model before it is registered"
    return replace(_evolved(state, event), stream_version=context.version)


def _evolved(model: ModelState, event: msgspec.Struct) -> ModelState:
    match event:
        case VersionNumberAssigned(number=number):
            return replace(model, latest_version=number)
        case VersionAliasSet(alias=alias):
            return replace(model, aliases=dict(sorted({**model.aliases, alias: event}.items())))
        case VersionAliasRemoved():
            return replace(
                model, aliases={alias: each for alias, each in model.aliases.items() if alias != event.alias}
            )
        case _:
            return model


def evolve_version(state: VersionState | None, event: msgspec.Struct, context: EventContext) -> VersionState:
    """Fold one event; it happened, so nothing is refused here. The first one registers the version."""
    if isinstance(event, ModelVersionRegistered):
        return VersionState(
            id=context.stream,
            workspace=context.workspace,
            **asdict(event),
            created_at=context.at,
            stream_version=context.version,
        )
    assert state is not None, "nothing happens to a version before it is registered"
    return replace(state, stream_version=context.version)


def register_model(command: RegisterModel) -> list[msgspec.Struct]:
    """Give a model its name; whether that is free is the catalogue's knowledge."""
    names_fit_in_a_path(command.name)
    return [ModelRegistered(name=command.name, description=command.description, tags=dict(command.tags))]


def assign_number(model: ModelState, *, version_id: str) -> VersionNumberAssigned:
    """Give a version the model's next number."""
    return VersionNumberAssigned(version_id=version_id, number=(model.latest_version or 0) + 1)


def set_alias(model: ModelState, alias: str, command: SetAlias, *, version_id: str) -> list[msgspec.Struct]:
    """Let an alias name a version, whatever it named before."""
    aliases_are_not_numbers(alias)
    known = model.aliases.get(alias)
    if known and known.version_id == version_id:
        return []
    return [VersionAliasSet(alias=alias, version_id=version_id, number=command.version, reason=command.reason)]


def remove_alias(model: ModelState, alias: str, command: RemoveAlias) -> list[msgspec.Struct]:
    """Take an alias away; one that names nothing is gone already."""
    return [VersionAliasRemoved(alias=alias, reason=command.reason)] if alias in model.aliases else []


def register_version(
    model: ModelState,
    command: RegisterVersion,
    *,
    number: int,
    artifact: Artifact,
    description: FileDescription | None,
    parent: Version | None,
) -> list[msgspec.Struct]:
    """Make an immutable version of a file and what that says of itself, if its parts hold together."""
    signature, inferred = complete_signature(command.signature, description)
    if parent is not None:
        artifact = replace(artifact, parent=parent.id)
    adapters_have_a_model_as_parent(artifact, parent=parent.artifact if parent else None)
    tensor_names_are_unique(signature)
    sizes_are_fixed_or_free(signature)
    missing_values_are_floats_of_inputs(signature)
    classes_are_told_from_indices(signature)
    files_can_keep_what_signatures_promise(signature, description)
    golden = None
    if command.golden is not None:
        golden = msgspec.convert(command.golden, GoldenExample, from_attributes=True)
        golden_examples_fit_the_signature(golden, signature)
    return [
        ModelVersionRegistered(
            model_id=model.id,
            model_name=model.name,
            number=number,
            artifact=artifact,
            signature=signature,
            golden=golden,
            parameters=command.parameters,
            metrics=command.metrics,
            tags=command.tags,
            inferred=inferred,
        )
    ]
