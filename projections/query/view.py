"""Read-only SQL on the views."""

from projections.query.operations import operations
from projections.view import View

VIEW = View(operations=operations)
