"""`rollbook features`: what the inputs and outputs of an endpoint's versions looked like."""

import struct
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import click

from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.resources import FeatureSummary

_MINUTE_MS = 60_000
_MAX_CATEGORIES_SHOWN = 3
_WINDOWS = 12
_SHARES = {"p05": 0.05, "p50": 0.5, "p95": 0.95}
_COLUMNS = (
    *("feature", "deployment", "kind", "values", "missing", "unreadable"),
    *("mean", *_SHARES, "most_frequent"),
)
# The bits of a float that its bin leaves out, as `infra/value_bins.py` defines bins.
_DROPPED_BITS = 42


@click.command("features")
@click.argument("endpoint")
@click.option("--minutes", type=click.IntRange(1, 1_440), default=60, show_default=True, help="Go back this far.")
@click.option("--deployment", help="Show only this deployment.")
@click.option("--feature", "features", multiple=True, help="Show only this feature; may be repeated.")
@pass_profile
def features(profile: Profile, endpoint: str, minutes: int, deployment: str | None, features: tuple[str, ...]) -> None:
    """Show the distribution of each captured input and output of ENDPOINT.

    Numbers have a mean and quantiles, which are exact to 0.1 %. Texts have their most frequent values. With --json, you
    get the summaries themselves, in a dozen windows.
    """
    to_ms = int(time.time() * 1_000)
    with profile.client() as rollbook:
        answer = rollbook.endpoints.feature_summaries(
            endpoint,
            to_ms - minutes * _MINUTE_MS,
            to_ms,
            # Few windows cover the time; the first one begins up to its length earlier.
            window_ms=max(minutes // _WINDOWS, 1) * _MINUTE_MS,
            deployment_id=deployment,
            features=list(features),
        )
    if profile.as_json:
        show(profile, answer)
    else:
        show(profile, feature_lines(answer.items), columns=_COLUMNS)


def feature_lines(items: Iterable[FeatureSummary]) -> list[dict[str, Any]]:
    """Return a line for each feature of each deployment, over all of its windows."""
    together: defaultdict[tuple[str, str, str], list[FeatureSummary]] = defaultdict(list)
    for item in items:
        together[item.feature, item.deployment_id, item.kind].append(item)
    return [
        {"feature": feature, "deployment": deployment, "kind": kind, **_line(together[feature, deployment, kind])}
        for feature, deployment, kind in sorted(together)
    ]


def _line(windows: list[FeatureSummary]) -> dict[str, Any]:
    values = sum(each.values for each in windows)
    sums = [each.sum for each in windows if each.values]
    bins: Counter[int] = Counter()
    categories: Counter[str] = Counter()
    for each in windows:
        bins.update(dict(zip(each.bins, each.counts, strict=True)))
        categories.update(each.categories)
    known = [each for each in sums if each is not None]
    return {
        "values": values,
        "missing": sum(each.missing for each in windows),
        "unreadable": sum(each.unreadable for each in windows),
        "mean": sum(known) / values if known and len(known) == len(sums) else None,
        **{name: _quantile(bins, share) for name, share in _SHARES.items()},
        "most_frequent": ", ".join(
            f"{text} {count / values:.0%}" for text, count in categories.most_common(_MAX_CATEGORIES_SHOWN)
        ),
    }


def _quantile(bins: Counter[int], share: float) -> float | None:
    """Return the middle of the bin in which the quantile is."""
    before, at = 0, share * bins.total()
    for key in sorted(bins):
        before += bins[key]
        if before >= at:
            return _middle(key)
    return None


def _middle(key: int) -> float:
    magnitude = abs(key) << _DROPPED_BITS
    if magnitude:
        magnitude += 1 << (_DROPPED_BITS - 1)
    (number,) = struct.unpack("<d", magnitude.to_bytes(8, "little"))
    return float(number if key >= 0 else -number)
