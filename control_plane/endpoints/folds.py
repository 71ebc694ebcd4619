"""How a part of the endpoint follows events: a table from the type of an event to what it makes of the part's state."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from control_plane.ports import EventContext

Part = TypeVar("Part")
Fold: TypeAlias = Callable[[Part, Any, EventContext], Part]
Folds: TypeAlias = Mapping[type[msgspec.Struct], Fold[Part]]
