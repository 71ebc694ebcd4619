"""Python client of Rollbook."""
