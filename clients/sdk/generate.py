"""Writes what is generated of the SDK: `python clients/sdk/generate.py [--check]`.

`rollbook.resources` and `rollbook._async.operations` come from the OpenAPI document, `rollbook._sync` from
`rollbook._async`. With --check nothing is written, and the exit code is 1 where a file is not as it would be.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from generation.document import Document
from generation.methods_module import methods_source
from generation.sync_twins import sync_source
from generation.types_module import types_source

_SDK = Path(__file__).parent / "rollbook"
_HEADER = "# Generated from ../_async/{name} by clients/sdk/generate.py; edit that one.\n"


def main(arguments: list[str]) -> int:
    """Write the modules, or say which differ."""
    stale = []
    for path, source in _modules():
        if path.exists() and path.read_text(encoding="utf-8") == source:
            continue
        stale.append(path.relative_to(_SDK).as_posix())
        if "--check" not in arguments:
            path.write_text(source, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"stale: {', '.join(stale)}; run python clients/sdk/generate.py\n")
        return 1
    return 0


def _modules() -> Iterator[tuple[Path, str]]:
    document = Document.read()
    operations = _formatted(methods_source(document))
    yield _SDK / "resources.py", _formatted(types_source(document))
    yield _SDK / "_async" / "operations.py", operations
    written = {path.name: path.read_text(encoding="utf-8") for path in sorted((_SDK / "_async").glob("[a-z]*.py"))}
    for name, source in {**written, "operations.py": operations}.items():
        yield _SDK / "_sync" / name, _formatted(_HEADER.format(name=name) + sync_source(source))


def _formatted(source: str) -> str:
    for step in (("check", "--fix-only", "--select", "F401,I001"), ("format",)):
        command = [sys.executable, "-m", "ruff", *step, "--quiet", "--stdin-filename", str(_SDK / "generated.py"), "-"]
        source = subprocess.run(command, input=source, stdout=subprocess.PIPE, text=True, check=True).stdout
    return source


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
