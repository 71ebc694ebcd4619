"""The project's own Python files, read and parsed, for the rules that this folder checks."""

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "schemas": ROOT / "schemas",
    "infra": ROOT / "infra",
    "control_plane": ROOT / "control_plane",
    "projections": ROOT / "projections",
    "serving": ROOT / "serving",
    "workers": ROOT / "workers",
    "rollbook": ROOT / "clients/sdk/rollbook",
    "rollbook_demo": ROOT / "clients/demo/rollbook_demo",
}
PROGRAMS_WITHOUT_SUFFIX = (ROOT / "task",)
FOLDERS_OF_TOOLS = {"build", "dist", "generated", "node_modules", "rollbook-data"}


@dataclass(frozen=True)
class Source:
    path: Path
    text: str
    tree: ast.Module

    @property
    def where(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def imports(self) -> frozenset[str]:
        """Dotted names of everything imported; `from a import b` gives `a.b`."""
        return frozenset(_imported(self.tree))


def all_sources() -> list[Source]:
    return [_read(path) for path in (*_python_files(ROOT), *PROGRAMS_WITHOUT_SUFFIX)]


def sources_of(*packages: str) -> list[Source]:
    return [_read(path) for name in packages for path in _python_files(PACKAGES[name])]


def product_sources() -> list[Source]:
    return sources_of(*PACKAGES)


def top_level(dotted: str) -> str:
    return dotted.partition(".")[0]


def _python_files(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_ours(name))
        yield from (Path(here) / name for name in sorted(files) if name.endswith(".py"))


def _is_ours(folder: str) -> bool:
    return folder == ".ci" or not (folder.startswith((".", "__")) or folder in FOLDERS_OF_TOOLS)


@cache
def _read(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(path=path, text=text, tree=ast.parse(text, filename=str(path)))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
