"""What holds for every test: its marker by folder, and closed sockets outside the tests that have a neighbour."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A property holds or not, however busy the machine is: Hypothesis would otherwise fail an example for its duration.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# How many examples a property gets that asks for no number: few in every run, many by `./task test:long`.
# Every run has the same for the same code, so that only a change fails it; the long run looks for new ones.
settings.register_profile("quick", unhurried, max_examples=50, derandomize=True)
settings.register_profile("thorough", unhurried, max_examples=1_000)
settings.load_profile("quick")

pytest_plugins = ["tests.support.program_logs", "tests.support.side_by_side"]

ROOT = Path(__file__).parent
MARKER_OF_FOLDER = {
    "acceptance": "acceptance",
    "architecture": "unit",
    "contracts": "unit",
    "extras": "integration",
    "faults": "acceptance",
    "golden": "unit",
    "integration": "integration",
    "unit": "unit",
}
# A contract suite marks the variants that have a real neighbour `integration`; that opens sockets for them.
MARKERS_WITH_SOCKETS = ("integration", "acceptance", "gpu")


# Workers side by side take groups of tests in this order: the longest first, so that none is left alone at the end.
LONG_FOLDERS = ("serving_agent", "projections", "gateway_programs", "gateway", "runtime")
FOLDERS_IN_ORDER = ("extras", "faults", "acceptance", "integration", "contracts", "golden", "architecture", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The neighbours of a folder end with its last test, so its tests run in a row. Files with stacks of their own come
    # before those that share one: an idle stack beside them takes half a core.
    sharing = {item.path for item in items if "stack" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (*_place(item), item.path in sharing))
    for item in items:
        folder = item.path.relative_to(ROOT).parts[0]
        if folder not in MARKER_OF_FOLDER:
            message = f"{item.nodeid} lies in no known test folder: {', '.join(MARKER_OF_FOLDER)}"
            raise pytest.UsageError(message)
        if MARKER_OF_FOLDER[folder] != "unit" or not _has_neighbour(item):
            item.add_marker(MARKER_OF_FOLDER[folder])
        if folder == "extras":
            item.add_marker("extras")


@pytest.fixture(autouse=True)
def closed_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse connections other than Unix ones, so that a unit test cannot come to depend on a network."""
    if _has_neighbour(request.node):
        yield
        return
    for method in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, method, _refusing(method))
    yield


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undo what a test configured about logs, so that tests run in any order."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


def _place(item: pytest.Item) -> tuple[int, bool, str]:
    folder = item.path.parent.relative_to(ROOT)
    return FOLDERS_IN_ORDER.index(folder.parts[0]), folder.name not in LONG_FOLDERS, str(folder)


def _has_neighbour(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in MARKERS_WITH_SOCKETS)


def _refusing(method: str) -> object:
    original = getattr(socket.socket, method)

    def connect(self: socket.socket, address: object) -> object:
        if self.family == socket.AF_UNIX:
            return original(self, address)
        pytest.fail(f"sockets are closed in unit tests; this one wants {address!r}")

    return connect
