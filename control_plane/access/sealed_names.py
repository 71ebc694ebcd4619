"""Whether the keys are there that the names of principals are sealed under."""

from collections.abc import Callable

import msgspec

from control_plane.access.aggregate import Principal
from control_plane.ports import Catalogue
from schemas.identifiers import Kind


def principal_without_key(catalogue: Catalogue, *, has_key: Callable[[str], bool]) -> str | None:
    """Return a principal of which the log says what no key opens; only erasure, which is an event, deletes keys."""
    for row in catalogue.of_all_workspaces(Kind.PRINCIPAL):
        principal = msgspec.json.decode(row.body, type=Principal)
        sealed = [value for value in (principal.name, principal.email) if value is not None]
        if not all(has_key(value.key_id) for value in sealed):
            return principal.id
    return None
