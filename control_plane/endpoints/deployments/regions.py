"""What the regions of a deployment, or of a failover, may be called."""

import re

from control_plane.endpoints import errors

_REGION = re.compile(r"[A-Za-z0-9_.-]{1,63}")


def require_valid_regions(regions: tuple[str, ...], *, limit: int, field: str) -> None:
    """Refuse invalid names, repeated ones, and too many."""
    wrong = next((region for region in regions if not _REGION.fullmatch(region)), None)
    if wrong is not None:
        raise errors.InvalidRegionsError(
            f"{wrong!r} is not a valid region name",
            field=field,
            remedy="use letters, digits, dots, dashes and underscores, as the agents of the region do",
        )
    if len(set(regions)) < len(regions) or len(regions) > limit:
        raise errors.InvalidRegionsError(
            "a region is named twice" if len(regions) <= limit else f"{len(regions)} regions are too many",
            field=field,
            remedy=f"name each region once, and at most {limit}",
        )
