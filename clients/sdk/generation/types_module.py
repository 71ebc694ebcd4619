"""`rollbook.resources`: what is answered, and what bodies are made of, by datamodel-code-generator."""

import json
import re
import subprocess
import sys

from generation.document import Document

_HEADER = '''"""What the API answers, and what its bodies are made of. Fields that a newer server adds are ignored.

Generated from schemas/generated/openapi.json by clients/sdk/generate.py.
"""
'''
_OPTIONS = (
    *("--input-file-type", "openapi", "--openapi-scopes", "schemas", "--output-model-type", "msgspec.Struct"),
    *("--target-python-version", "3.11", "--formatters", "builtin", "--disable-timestamp", "--keyword-only"),
    *("--use-default", "--use-msgspec-tagged-unions", "--enum-field-as-literal", "all", "--use-union-operator"),
    *("--use-schema-description", "--use-single-line-docstring", "--use-standard-collections"),
    *("--disable-future-imports", "--strict-refs"),
)
_INDENTED_SUMMARY = re.compile(r'"""\n    (?=\S)')
# What people say of these has words of its own, written by hand.
_BASES = {
    "Canary": "rollbook.shapes.CanaryShape",
    "Rollout": "rollbook.shapes.RolloutShape",
    "Version": "rollbook.shapes.VersionShape",
}


def types_source(document: Document) -> str:
    """Return the module's source, not yet formatted."""
    content = {
        "openapi": "3.1.0",
        "info": {"title": "Rollbook", "version": "1"},
        "paths": {},
        "components": {"schemas": document.types()},
    }
    bases = ("--base-class", "rollbook.shapes.Shape", "--base-class-map", json.dumps(_BASES))
    command = [sys.executable, "-m", "datamodel_code_generator", *_OPTIONS, *bases, "--custom-file-header", _HEADER]
    done = subprocess.run(command, input=json.dumps(content), stdout=subprocess.PIPE, text=True, check=True)
    return _INDENTED_SUMMARY.sub('"""', done.stdout).replace("kw_only=True", "frozen=True, kw_only=True")
