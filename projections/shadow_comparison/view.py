"""What a shadow answers beside what callers got."""

from projections.shadow_comparison.operations import operations
from projections.view import View

VIEW = View(operations=operations)
