"""Writes the OpenAPI document of the API, as it is published beside the other contracts.

`python -m control_plane.describe` writes `schemas/generated/openapi.json`; with `--check` it only compares, and exits
with 1 where the committed file is out of date.
"""

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from control_plane.declared import declare, no_parts
from control_plane.endpoints.errors import EndpointNotFoundError
from control_plane.web.openapi import Document, document_of
from infra.operations import Operations
from projections.bootstrap import open_views
from projections.reading import Endpoints

PATH = Path(__file__).resolve().parents[1] / "schemas" / "generated" / "openapi.json"


def operations() -> list[Operations]:
    """Return every operation, as it is declared; none can be carried out."""
    views = open_views("http://nowhere", endpoints=_NONE)
    return declare(no_parts(), views.operations)


async def _never(endpoint: object, _workspace: str) -> NoReturn:
    raise EndpointNotFoundError(str(endpoint))


_NONE = Endpoints(id_of=_never, ids_of=_never, unknown=EndpointNotFoundError)


def document() -> Document:
    """Return the OpenAPI document."""
    return document_of(operations(), version=version("rollbook-server"))


def main(argv: list[str] | None = None) -> int:
    """Write the document, or compare it with `--check`."""
    parser = argparse.ArgumentParser(prog="python -m control_plane.describe", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the file differs")
    arguments = parser.parse_args(argv)
    wanted = json.dumps(document(), indent=1, ensure_ascii=False) + "\n"
    if not arguments.check:
        PATH.write_text(wanted, encoding="utf-8")
        return 0
    if PATH.exists() and PATH.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write(f"{PATH.name} is out of date; run: ./task schemas\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
