"""Rows of the catalogue are kept over an upgrade, so whoever changes their form raises its format."""

import hashlib
import json
from typing import Any

import msgspec

from control_plane.bootstrap import AGGREGATES
from control_plane.catalogue.rebuild import FORMAT
from tests.support.catalogue_bodies import BODIES

FORM = "d9d4300941cbd871"


def test_rows_of_another_form_have_another_format() -> None:
    """Raise `FORMAT` and write both down here, so that stores make their rows anew when they are opened."""
    kinds, components = msgspec.json.schema_components(BODIES.values(), ref_template="{name}")
    form = json.dumps([_spelt_out(each, components) for each in kinds], sort_keys=True)

    assert (FORMAT, hashlib.sha256(form.encode()).hexdigest()[:16]) == ("2", FORM)


def test_the_rows_of_every_kind_are_looked_at() -> None:
    assert BODIES.keys() == AGGREGATES.keys()


def _spelt_out(schema: Any, components: dict[str, Any]) -> Any:  # noqa: ANN401  any JSON value
    """Return a schema without the names and words of ours in it, which change no row."""
    if isinstance(schema, list):
        return [_spelt_out(item, components) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _spelt_out(components[schema["$ref"]], components)
    words = {key for key in ("title", "description", "discriminator") if not _is_a_field(schema.get(key))}
    return {key: _spelt_out(value, components) for key, value in schema.items() if key not in words}


def _is_a_field(value: object) -> bool:
    return isinstance(value, dict) and "mapping" not in value
