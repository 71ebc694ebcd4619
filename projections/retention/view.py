"""How long the tables of all views keep their rows."""

from projections.retention.operations import operations
from projections.view import View

VIEW = View(operations=operations)
