"""Every view, found by its folder, and what all of them make of each topic."""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

from infra.operations import Operations
from projections.projectors import TopicProjector, joined
from projections.tables import Table
from projections.view import Access, View
from schemas.topics import Topic

_FOLDER = Path(__file__).parent


def _found() -> dict[str, View]:
    """Read `VIEW` in the module `view` of each folder that has one."""
    folders = sorted(each.name for each in pkgutil.iter_modules([str(_FOLDER)]) if each.ispkg)
    return {
        name: importlib.import_module(f"projections.{name}.view").VIEW
        for name in folders
        if (_FOLDER / name / "view.py").exists()
    }


VIEWS: Mapping[str, View] = _found()
PROJECTORS = joined(part for view in VIEWS.values() for part in view.projectors)
PROJECTED: tuple[Table, ...] = tuple({table.name: table for one in PROJECTORS for table in one.tables}.values())
"""The tables that topics fill."""

TABLES: tuple[Table, ...] = (*PROJECTED, *(table for view in VIEWS.values() for table in view.tables))


def projector_of(topic: Topic) -> TopicProjector:
    """Return what all views make of a topic."""
    (found,) = (projector for projector in PROJECTORS if projector.topic == topic)
    return found


def declare_views(access: Access) -> list[Operations]:
    """Return the operations of the read side."""
    return [view.operations(access) for view in VIEWS.values() if view.operations is not None]
