"""The registered model, which owns a name and gives numbers, and the version, which never changes."""

import msgspec

from control_plane.ports import EventContext
from control_plane.registry.commands import RegisterModel, RemoveAlias, SetAlias, VersionContent
from control_plane.registry.policies import (
    adapters_have_a_model_as_parent,
    aliases_are_not_numbers,
    files_can_keep_what_signatures_promise,
    golden_examples_fit_the_signature,
    missing_values_are_floats_of_inputs,
    names_fit_in_a_path,
    sizes_are_fixed_or_free,
    tensor_names_are_unique,
)
from schemas.events.registry import (
    Artifact,
    ModelRegistered,
    ModelVersionRegistered,
    VersionAliasRemoved,
    VersionAliasSet,
    VersionNumberAssigned,
)


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions and the catalogue need of a model."""

    id: str = ""
    workspace: str = ""
    name: str = ""
    description: str = ""
    tags: dict[str, str] = {}
    latest_version: int | None = None
    aliases: dict[str, VersionAliasSet] = {}
    created_at: str = ""
    stream_version: int = 0


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue needs of a version."""

    id: str = ""
    workspace: str = ""
    registered: ModelVersionRegistered | None = None
    created_at: str = ""
    stream_version: int = 0


def evolve_model(state: RegisteredModel, event: msgspec.Struct, context: EventContext) -> RegisteredModel:
    """Fold one event; it happened, so nothing is refused here."""
    match event:
        case ModelRegistered():
            return RegisteredModel(
                id=context.stream,
                workspace=context.workspace,
                name=event.name,
                description=event.description,
                tags=event.tags,
                created_at=context.at,
                stream_version=context.version,
            )
        case VersionNumberAssigned():
            return msgspec.structs.replace(state, latest_version=event.number, stream_version=context.version)
        case VersionAliasSet(alias=alias):
            aliases = {**state.aliases, alias: event}
            return msgspec.structs.replace(state, aliases=aliases, stream_version=context.version)
        case VersionAliasRemoved():
            aliases = {alias: each for alias, each in state.aliases.items() if alias != event.alias}
            return msgspec.structs.replace(state, aliases=aliases, stream_version=context.version)
        case _:
            return msgspec.structs.replace(state, stream_version=context.version)


def evolve_version(state: ModelVersion, event: msgspec.Struct, context: EventContext) -> ModelVersion:
    """Fold one event; it happened, so nothing is refused here."""
    if not isinstance(event, ModelVersionRegistered):
        return msgspec.structs.replace(state, stream_version=context.version)
    return ModelVersion(
        id=context.stream,
        workspace=context.workspace,
        registered=event,
        created_at=context.at,
        stream_version=context.version,
    )


def register_model(command: RegisterModel) -> list[msgspec.Struct]:
    """Give a model its name; whether that is free is the catalogue's knowledge."""
    names_fit_in_a_path(command.name)
    return [ModelRegistered(name=command.name, description=command.description, tags=dict(command.tags))]


def assign_number(model: RegisteredModel, *, version_id: str) -> VersionNumberAssigned:
    """Give a version the model's next number."""
    return VersionNumberAssigned(version_id=version_id, number=(model.latest_version or 0) + 1)


def set_alias(model: RegisteredModel, alias: str, command: SetAlias, *, version_id: str) -> list[msgspec.Struct]:
    """Let an alias name a version, whatever it named before."""
    aliases_are_not_numbers(alias)
    known = model.aliases.get(alias)
    if known and known.version_id == version_id:
        return []
    return [VersionAliasSet(alias=alias, version_id=version_id, number=command.version, reason=command.reason)]


def remove_alias(model: RegisteredModel, alias: str, command: RemoveAlias) -> list[msgspec.Struct]:
    """Take an alias away; one that names nothing is gone already."""
    return [VersionAliasRemoved(alias=alias, reason=command.reason)] if alias in model.aliases else []


def register_version(
    model: RegisteredModel, content: VersionContent, *, number: int, parent: Artifact | None = None
) -> list[msgspec.Struct]:
    """Make an immutable version, if its parts hold together."""
    adapters_have_a_model_as_parent(content.artifact, parent=parent)
    tensor_names_are_unique(content.signature)
    sizes_are_fixed_or_free(content.signature)
    missing_values_are_floats_of_inputs(content.signature)
    files_can_keep_what_signatures_promise(content.signature, content.description)
    if content.golden is not None:
        golden_examples_fit_the_signature(content.golden, content.signature)
    return [
        ModelVersionRegistered(
            model_id=model.id,
            model_name=model.name,
            number=number,
            artifact=content.artifact,
            signature=content.signature,
            golden=content.golden,
            parameters=content.parameters,
            metrics=content.metrics,
            tags=content.tags,
            inferred=content.inferred,
        )
    ]
