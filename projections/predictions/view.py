"""What served a prediction, and the event that routed it."""

from projections.predictions.operations import operations
from projections.view import View

VIEW = View(operations=operations)
