"""What a view says of itself."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from infra.operations import Operations
from projections.projectors import TableProjector
from projections.query.lane import QueryLane
from projections.reading import Endpoints, Reader
from projections.tables import Table


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What operations are answered with.

    These are the views and the tables of all of them, the names of endpoints, and the lane for people's statements.
    """

    reader: Reader
    tables: Sequence[Table]
    endpoints: Endpoints
    lane: QueryLane


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of `projections` with a module `view` in which `VIEW` is one of these; nothing else names the folder.

    `projectors` fill its tables, apart from those in `tables`, which statements fill from others; a view that only
    reads has neither. `operations` are what it answers; a view that is read by others only has none. The migrations of
    its tables are in its folder `migrations`. `after_rebuild` is run once the tables that topics fill were built again.
    """

    projectors: tuple[TableProjector[Any], ...] = ()
    tables: tuple[Table, ...] = ()
    operations: Callable[[Access], Operations] | None = None
    after_rebuild: tuple[str, ...] = ()
