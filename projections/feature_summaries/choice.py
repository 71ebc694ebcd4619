"""Which features of a scope are stored, where there are too many."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping

from projections.feature_summaries.features import Feature

MAX_FEATURES = 512


def chosen(features: Mapping[Feature, int]) -> tuple[dict[Feature, int], Counter[int]]:
    """Return the features to store, and how many of each scope are left out.

    Those with the smallest checksums are stored, so that each batch has the same ones.
    """
    by_scope: defaultdict[int, list[Feature]] = defaultdict(list)
    for feature in features:
        by_scope[feature.scope].append(feature)
    stored: dict[Feature, int] = {}
    left_out: Counter[int] = Counter()
    for scope, found in by_scope.items():
        left_out[scope] = max(len(found) - MAX_FEATURES, 0)
        first = found if len(found) <= MAX_FEATURES else sorted(found, key=_checksum)[:MAX_FEATURES]
        stored |= {feature: features[feature] for feature in first}
    return stored, left_out


def _checksum(feature: Feature) -> tuple[int, str, str]:
    return zlib.crc32(feature.name.encode()), feature.name, feature.kind
