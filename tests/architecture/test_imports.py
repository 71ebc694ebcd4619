"""Import rules that need a closed list of what is allowed; the direction between packages is import-linter's."""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, Source, product_sources, sources_of, top_level

HOME_OF_HEAVY_LIBRARY: dict[str, tuple[str, ...]] = {
    "alibi_detect": ("projections/drift/detectors/alibi_detector.py",),
    "catboost": ("serving/engines/catboost_engine.py",),
    "lightgbm": ("serving/engines/lightgbm_engine.py",),
    "onnxruntime": ("serving/engines/onnx_engine.py",),
    # The training programs are processes of their own; that of the language model runs in vLLM's environment.
    "torch": (
        "serving/engines/torch_engine.py",
        "clients/demo/rollbook_demo/llm/train_adapter.py",
        "clients/demo/rollbook_demo/llm/train_small_llama.py",
        "clients/demo/rollbook_demo/stories/train_digit_nets.py",
    ),
    # vLLM is started, never imported.
    "vllm": (),
    "xgboost": ("serving/engines/xgboost_engine.py",),
}
# Everything in a feature's folder is pure, except modules with these names and those listed below.
RIM = {"handlers", "operations", "ports", "process", "queries"}
ALSO_RIM: dict[str, str] = {
    "control_plane/access/first_principals.py": "writes the first tokens to files",
    "control_plane/access/tokens.py": "keeps the tokens in memory, and asks the clock",
    "control_plane/endpoints/scaling/replay_app.py": "a program",
    "control_plane/inference_tokens/mint.py": "signs tokens",
    "control_plane/inference_tokens/signing_keys.py": "keeps keys in files",
    "control_plane/inference_tokens/unused_keys.py": "deletes such files, for as long as the API runs",
    "control_plane/workspaces/directory.py": "keeps the workspaces in memory",
}
LIBRARIES_OF_CORE = {"msgspec", "schemas"}
SHARED_WITH_CORE = {"control_plane.errors", "control_plane.ports"}
EFFECTS = {
    *{"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "sqlite3"},
    *{"subprocess", "tempfile", "threading", "time", "urllib", "uuid"},
}
# A step and the weights that it sets are one transaction, so that feature loads and appends to both streams.
FEATURES_THAT_KNOW_ANOTHER = {("rollouts", "endpoints"), ("rollouts", "registry")}
# Whoever reads the log knows its port; the programs and the composition root of the API choose what is behind it.
READERS_OF_THE_LOG = ("audit", "event_feed", "processes", "relay")
PROGRAMS_OF_READERS = {"control_plane/audit/app.py", "control_plane/relay/app.py"}
FOR_READERS_OF_THE_LOG = {"control_plane.event_store.codec", "control_plane.event_store.errors"}


def test_schemas_import_nothing_but_msgspec() -> None:
    assert _libraries("schemas") <= {"schemas", "msgspec"}


def test_the_client_imports_only_what_its_wheel_declares() -> None:
    project = tomllib.loads((ROOT / "clients/sdk/pyproject.toml").read_text(encoding="utf-8"))["project"]
    always = {"rollbook", *_names(project["dependencies"])}
    extras = {name: _names(libraries) for name, libraries in project["optional-dependencies"].items()}
    # The folder of an extra is imported only where somebody asks for what it does.
    by_extra = {name: [each for each in sources_of("rollbook") if name in each.path.parts] for name in extras}
    rest = [source for source in sources_of("rollbook") if not extras.keys() & set(source.path.parts)]

    assert all(by_extra.values())
    assert _libraries_of(rest) <= always
    for name, sources in by_extra.items():
        assert _libraries_of(sources) <= always | extras[name]


def test_a_heavy_library_is_imported_in_the_one_file_of_its_variant() -> None:
    strays = [
        f"{source.where} imports {library}"
        for source in product_sources()
        for library in {top_level(name) for name in source.imports} & HOME_OF_HEAVY_LIBRARY.keys()
        if source.where not in HOME_OF_HEAVY_LIBRARY[library]
    ]

    assert strays == []


def test_what_runs_inside_foreign_engines_imports_only_the_standard_library() -> None:
    inside = [source for source in sources_of("serving") if source.path.parent.name == "rollbook_capture"]
    allowed = sys.stdlib_module_names | {source.path.stem for source in inside}
    strays = [
        f"{source.where} imports {name}"
        for source in inside
        for name in sorted(source.imports)
        if top_level(name) not in allowed
    ]

    assert inside

    assert strays == []


def test_a_feature_is_pure_inside_its_rim() -> None:
    core = [source for source in sources_of("control_plane") if _is_core(source.where)]
    strays = [
        f"{source.where} imports {name}" for source in core for name in sorted(source.imports) if not _is_pure(name)
    ]

    assert {Path(source.where).parts[1] for source in core} == _features()
    assert strays == []


def test_the_state_of_a_part_knows_neither_the_whole_nor_other_parts() -> None:
    strays = [
        f"{source.where} imports {name}"
        for source in sources_of("control_plane")
        if source.path.name == "state.py"
        for name in sorted(source.imports)
        if not _may_be_known_to_state(source, name)
    ]

    assert strays == []


def test_what_is_listed_beside_the_rim_could_not_be_pure() -> None:
    sources = {source.where: source for source in sources_of("control_plane")}

    assert [where for where in ALSO_RIM if all(map(_is_pure, sources[where].imports))] == []


@pytest.mark.parametrize(
    ("name", "is_pure"),
    [
        ("msgspec", True),
        ("collections.abc.Mapping", True),
        ("schemas.envelope.unix_ms", True),
        ("control_plane.ports.EventContext", True),
        ("control_plane.rollouts.errors", True),
        ("control_plane.rollouts.gates.base.GateRule", True),
        ("control_plane.endpoints.aggregate.Endpoint", True),
        ("time", False),
        ("secrets.token_hex", False),
        ("infra.clock.Clock", False),
        ("control_plane.endpoints.handlers", False),
        ("control_plane.endpoints.queries.ready_instances", False),
        ("control_plane.rollouts.operations.operations", False),
        ("control_plane.access.tokens.TokenIndex", False),
        ("control_plane.web.listing.page", False),
    ],
)
def test_what_reaches_outside_is_told_from_what_is_pure(name: str, is_pure: bool) -> None:  # noqa: FBT001  a column
    assert _is_pure(name) == is_pure


def test_features_do_not_know_each_other() -> None:
    strays = [
        f"{source.where} imports {name}"
        for source in sources_of("control_plane")
        for name in sorted(source.imports)
        if _joins_features(source, name)
    ]

    assert strays == []


def test_readers_of_the_log_know_its_port_alone() -> None:
    readers = [source for source in sources_of("control_plane") if Path(source.where).parts[1] in READERS_OF_THE_LOG]
    strays = [
        f"{source.where} imports {name}"
        for source in readers
        if source.where not in PROGRAMS_OF_READERS
        for name in sorted(source.imports)
        if _is_behind_the_port(name)
    ]

    assert {Path(source.where).parts[1] for source in readers} == set(READERS_OF_THE_LOG)
    assert {source.where for source in readers} >= PROGRAMS_OF_READERS
    assert strays == []


@pytest.mark.parametrize(
    ("name", "is_behind"),
    [
        ("sqlite3", True),
        ("eventsourcing.persistence.Notification", True),
        ("control_plane.event_store.log_file.open_log_file", True),
        ("control_plane.event_store.sqlite_store.SqliteStore", True),
        ("control_plane.relay.topic_log.TopicLog", True),
        ("control_plane.event_store.codec.context_of", False),
        ("control_plane.log.ports.LogReader", False),
        ("control_plane.relay.record.to_record", False),
    ],
)
def test_what_is_behind_the_port_of_the_log_is_told(name: str, is_behind: bool) -> None:  # noqa: FBT001  a column
    assert _is_behind_the_port(name) == is_behind


def _libraries(package: str) -> set[str]:
    return _libraries_of(sources_of(package))


def _libraries_of(sources: Iterable[Source]) -> set[str]:
    return {top_level(name) for source in sources for name in source.imports} - sys.stdlib_module_names


def _names(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^\w-]", requirement)[0].replace("-", "_") for requirement in requirements}


def _is_core(where: str) -> bool:
    path = Path(where)
    is_of_feature = len(path.parts) > 2 and path.parts[1] in _features()
    return is_of_feature and path.stem not in RIM and where not in ALSO_RIM


def _is_pure(name: str) -> bool:
    if top_level(name) == "control_plane":
        module = _module_of(name)
        return module.removesuffix(".py").replace("/", ".") in SHARED_WITH_CORE or _is_core(module)
    return top_level(name) in (sys.stdlib_module_names - EFFECTS) | LIBRARIES_OF_CORE


def _may_be_known_to_state(source: Source, name: str) -> bool:
    """Decisions see the whole endpoint, which is made of the states; so these must not see it."""
    if top_level(name) != "control_plane":
        return True
    module = ROOT / _module_of(name)
    return module.parent == source.path.parent or module.name in {"folds.py", "ports.py"}


def _module_of(name: str) -> str:
    """Return the file of ours that an imported name is or comes from."""
    parts = name.split(".")
    candidates = ("/".join(parts[:length]) + ".py" for length in range(len(parts), 0, -1))
    return next(where for where in candidates if (ROOT / where).is_file())


def _is_behind_the_port(name: str) -> bool:
    if top_level(name) in {"eventsourcing", "sqlite3"} or name.startswith("control_plane.relay.topic_log"):
        return True
    is_of_store = name.startswith("control_plane.event_store.")
    return is_of_store and name.rpartition(".")[0] not in FOR_READERS_OF_THE_LOG


def _joins_features(source: Source, name: str) -> bool:
    home = source.path.relative_to(PACKAGES["control_plane"]).parts[0]
    if home not in _features() or not name.startswith("control_plane."):
        return False
    other = name.split(".")[1]
    return other in _features() - {home} and (home, other) not in FEATURES_THAT_KNOW_ANOTHER


def _features() -> set[str]:
    """A feature is a folder that takes commands."""
    folders = [folder for folder in PACKAGES["control_plane"].iterdir() if folder.is_dir()]
    return {folder.name for folder in folders if _holds(folder, "aggregate.py") or _holds(folder, "commands.py")}


def _holds(folder: Path, file: str) -> bool:
    return (folder / file).is_file()
