"""The form of the catalogue's rows, by kind, as a digest of what their bodies may hold."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from control_plane.catalogue.rebuild import FORMAT
from control_plane.declared import AGGREGATES

FORMS = Path(__file__).with_name("rows") / f"format_{FORMAT}.json"


def known_forms() -> dict[str, str]:
    """Return the forms that were written down for the format of today."""
    return dict(json.loads(FORMS.read_text(encoding="utf-8"))) if FORMS.exists() else {}


def forms_now() -> dict[str, str]:
    """Return the forms that the code gives."""
    return {str(kind): _form_of(aggregate.body) for kind, aggregate in sorted(AGGREGATES.items())}


def _form_of(body: type[msgspec.Struct]) -> str:
    (kind,), components = msgspec.json.schema_components([body], ref_template="{name}")
    form = json.dumps(_spelt_out(kind, components), sort_keys=True)
    return hashlib.sha256(form.encode()).hexdigest()[:16]


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
