"""The one table from a strategy's parameters, by their kind, to what moves the traffic."""

from collections.abc import Callable
from typing import Any

from control_plane.rollouts.strategies.base import RolloutStrategy
from control_plane.rollouts.strategies.canary import CanaryStrategy
from schemas.events.rollouts import Canary, Strategy

STRATEGIES: dict[type, Callable[[Any], RolloutStrategy]] = {Canary: CanaryStrategy}


def strategy_of(strategy: Strategy) -> RolloutStrategy:
    """Return what carries out the parameters."""
    return STRATEGIES[type(strategy)](strategy)
