"""What the catalogue knows of models and versions."""

import msgspec

from control_plane.ports import Catalogue, CatalogueRow
from control_plane.registry.errors import ModelNotFoundError, VersionNotFoundError
from schemas.documents.versions import Version
from schemas.identifiers import Kind, kind_of

# A database takes no larger number; no model has as many versions.
_MAX_NUMBER = 2**63 - 1


def model_id_of(catalogue: Catalogue, model: str, *, workspace: str) -> str:
    """Return the id of a model that is given by its name or id.

    Raises:
        ModelNotFoundError: no model has this name.
    """
    if kind_of(model) is Kind.MODEL:
        return model
    found = catalogue.id_of(Kind.MODEL, model, workspace=workspace)
    if found is None:
        raise ModelNotFoundError(model)
    return found


def model_row(catalogue: Catalogue, model: str, *, workspace: str) -> CatalogueRow:
    """Return a model by its name or id.

    Raises:
        ModelNotFoundError: there is none.
    """
    row = catalogue.get(Kind.MODEL, model_id_of(catalogue, model, workspace=workspace), workspace=workspace)
    if row is None:
        raise ModelNotFoundError(model)
    return row


def version_row(catalogue: Catalogue, model: str, number: int, *, workspace: str) -> CatalogueRow:
    """Return a model's version by its number.

    Raises:
        ModelNotFoundError: there is no such model.
        VersionNotFoundError: the model has no such number.
    """
    parent_id = model_row(catalogue, model, workspace=workspace).id
    # SQLite refuses integers of more than 64 bits, and a path may hold any.
    wanted = number if 0 < number <= _MAX_NUMBER else 0
    rows = catalogue.find(Kind.VERSION, workspace=workspace, parent_id=parent_id, number=wanted, limit=1)
    if not rows:
        raise VersionNotFoundError(f"{model}/{number}")
    return rows[0]


def version_row_by_id(catalogue: Catalogue, version_id: str, *, workspace: str) -> CatalogueRow:
    """Return a version by its id.

    Raises:
        VersionNotFoundError: there is none.
    """
    row = catalogue.get(Kind.VERSION, version_id, workspace=workspace)
    if row is None:
        raise VersionNotFoundError(version_id)
    return row


def version_as_named(catalogue: Catalogue, version: str, *, workspace: str) -> Version:
    """Return a version that is given as `model/number` or by its id.

    Raises:
        VersionNotFoundError: there is none.
    """
    model, _, number = version.rpartition("/")
    if not model:
        row = version_row_by_id(catalogue, version, workspace=workspace)
    elif number.isascii() and number.isdecimal():
        row = version_row(catalogue, model, int(number), workspace=workspace)
    else:
        raise VersionNotFoundError(version)
    return msgspec.json.decode(row.body, type=Version)
