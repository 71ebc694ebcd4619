"""The counts that a rollout is judged by."""

from projections.measurement.operations import operations
from projections.view import View

VIEW = View(operations=operations)
