"""What the drift watch makes of summaries, and what it reports."""

from typing import Any

import msgspec
import pytest

from schemas.documents.monitors import Monitor
from schemas.events.monitors import Bounds, MonitorTerms, ReferenceFixed, ReferenceStretch
from schemas.feature_summaries import FeatureSummary
from workers.drift_watch.looks import (
    after,
    begin,
    complete_until_ms,
    look_of,
    read_reference,
    windows_of,
    written_reference,
)

HOUR_MS = 3_600_000
SINCE_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS
TERMS = MonitorTerms(
    detector="input_drift",
    features=(),
    window_ms=HOUR_MS,
    false_alarm_budget=0.1,
    late_after_ms=HOUR_MS + 300_000,
    settling_windows=24,
    bounds=Bounds(),
)


def summary(hour: int, counts: dict[int, int], feature: str = "input.amount", **changes: Any) -> FeatureSummary:  # noqa: ANN401
    known: dict[str, Any] = {
        "start_ms": SINCE_MS + hour * HOUR_MS,
        "deployment_id": "blue",
        "version_id": "version-1",
        "feature": feature,
        "kind": "number",
        "values": sum(counts.values()),
        "missing": 0,
        "infinite": 0,
        "unreadable": 0,
        "cut": 0,
        "sum": 0.0,
        "sum_of_squares": 0.0,
        "minimum": 0.0,
        "maximum": 1.0,
        "bins": list(counts),
        "counts": list(counts.values()),
        "categories": {},
        "other": 0,
    }
    return FeatureSummary(**known | changes)


EVEN = {1: 50, 2: 50, 3: 50, 4: 50}
HIGH = {1: 5, 2: 15, 3: 60, 4: 120}
REFERENCE = [summary(-hour, EVEN) for hour in range(48, 0, -1)]


def monitor(**changes: Any) -> Monitor:  # noqa: ANN401
    known: dict[str, Any] = {
        "id": "monitor-1",
        "workspace": "default",
        "created_at": "2023-11-14T22:00:00Z",
        "stream_version": 2,
        "name": "amounts",
        "phase": "watching",
        "endpoint_id": "endpoint-1",
        "endpoint_name": "fraud",
        "terms": TERMS,
        "stretch": ReferenceStretch(deployment_ids=("blue",), from_ms=SINCE_MS - 48 * HOUR_MS, until_ms=SINCE_MS),
        "reference": ReferenceFixed(digest="sha256:" + "a" * 64, windows=48, rows=9_600, features=("input.amount",)),
        "since_ms": SINCE_MS,
        "begun_at_version": 1,
        "left_out": (),
        "judged_until_ms": 0,
        "outcome": None,
        "reason": "",
        "judged_at": None,
        "findings": (),
    }
    return Monitor(**known | changes)


def reference() -> list[Any]:
    return read_reference(written_reference(windows_of(REFERENCE, TERMS)))


def test_summaries_are_added_over_deployments_and_by_window() -> None:
    items = [summary(0, {1: 3}), summary(0, {1: 2, 5: 1}, deployment_id="green"), summary(1, {7: 4})]

    windows = windows_of(items, TERMS)

    assert {at: dict(each["input.amount"].bins) for at, each in windows.items()} == {
        SINCE_MS: {1: 5, 5: 1},
        SINCE_MS + HOUR_MS: {7: 4},
    }


def test_shadows_and_other_deployments_do_not_count() -> None:
    items = [summary(0, {1: 3}), summary(0, {9: 2}, deployment_id="copy")]

    assert windows_of(items, TERMS, left_out=("copy",))[SINCE_MS]["input.amount"].bins == {1: 3}
    assert windows_of(items, TERMS, deployments=("copy",))[SINCE_MS]["input.amount"].bins == {9: 2}


def test_texts_of_which_only_the_number_is_kept_do_not_count() -> None:
    known = summary(1, {}, "input.city", kind="category", values=3, categories={"Rome": 3})
    expired = summary(0, {}, "input.city", kind="category", values=3, other=3)

    windows = windows_of([known, expired, summary(0, {1: 2})], TERMS, texts_from_ms=SINCE_MS + HOUR_MS)

    assert {at: set(each) for at, each in windows.items()} == {
        SINCE_MS: {"input.amount"},
        SINCE_MS + HOUR_MS: {"input.city"},
    }


def test_only_what_is_watched_of_a_reference_counts() -> None:
    both = [*REFERENCE, *(summary(-hour, EVEN, "input.age") for hour in range(48, 0, -1))]
    whole = read_reference(written_reference(windows_of(both, TERMS)))
    terms = msgspec.structs.replace(TERMS, features=("input.age",))

    progress = begin(monitor(terms=terms), whole)

    assert {each.feature for each in progress.state.reference.scores} == {"input.age"}


@pytest.mark.parametrize(
    ("detector", "features", "watched"),
    [
        ("input_drift", (), {"input.amount"}),
        ("prediction_drift", (), {"output.label", "finish_reason"}),
        ("input_drift", ("output.label",), {"output.label"}),
    ],
)
def test_a_monitor_watches_what_its_detector_is_of_or_what_is_named(
    detector: Any,  # noqa: ANN401
    features: tuple[str, ...],
    watched: set[str],
) -> None:
    terms = MonitorTerms(
        detector=detector,
        features=features,
        window_ms=HOUR_MS,
        false_alarm_budget=0.1,
        late_after_ms=HOUR_MS,
        settling_windows=24,
        bounds=Bounds(),
    )
    items = [summary(0, {1: 1}, feature) for feature in ("input.amount", "output.label", "finish_reason", "status")]

    assert set(windows_of(items, terms)[SINCE_MS]) == watched


def test_a_reference_has_the_same_bytes_in_whatever_order_it_was_read() -> None:
    parts = [summary(0, {4: 1, -3: 2}), summary(0, {7: 1}, "input.age"), summary(1, {1: 1})]

    assert written_reference(windows_of(parts, TERMS)) == written_reference(windows_of(reversed(parts), TERMS))
    assert read_reference(written_reference(windows_of(parts, TERMS)))[0]["input.amount"].bins == {-3: 2, 4: 1}


def test_windows_in_one_go_or_one_by_one_come_to_the_same_look() -> None:
    items = [summary(hour, EVEN if hour < 3 else HIGH) for hour in range(8)]
    windows = windows_of(items, TERMS)
    whole = after(begin(monitor(), reference()), windows, until_ms=SINCE_MS + 8 * HOUR_MS)
    single = begin(monitor(), reference())
    for hour in range(1, 9):
        single = after(single, windows, until_ms=SINCE_MS + hour * HOUR_MS)

    now_ms = SINCE_MS + 8 * HOUR_MS
    looks = [look_of(each, monitor(), now_ms=now_ms) for each in (whole, single)]

    assert looks[0] == looks[1]
    assert (looks[0].windows, looks[0].rows, looks[0].until_ms) == (8, 1_600, now_ms)
    assert looks[0].findings[0].feature == "input.amount"
    assert looks[0].findings[0].began_at_ms == SINCE_MS + 3 * HOUR_MS


def test_another_window_gives_another_digest() -> None:
    digests = set()
    for counts in (EVEN, {1: 50, 2: 50, 3: 50, 4: 49}):
        progress = after(
            begin(monitor(), reference()),
            windows_of([summary(0, counts)], TERMS),
            until_ms=SINCE_MS + HOUR_MS,
        )
        digests.add(progress.windows_digest)

    assert len(digests) == 2


@pytest.mark.parametrize(
    ("hours_seen", "hours_now", "rows", "lacking"),
    [
        (0, 0.5, EVEN, "no_data"),
        (2, 2.1, EVEN, None),
        (2, 3.05, EVEN, None),
        (2, 4.2, EVEN, "late"),
        (2, 2.1, {}, "no_data"),
    ],
)
def test_what_is_lacking_is_told(hours_seen: int, hours_now: float, rows: dict[int, int], lacking: str | None) -> None:
    windows = windows_of([summary(hour, rows) for hour in range(hours_seen)], TERMS)
    progress = after(begin(monitor(), reference()), windows, until_ms=SINCE_MS + hours_seen * HOUR_MS)

    look = look_of(progress, monitor(), now_ms=SINCE_MS + int(hours_now * HOUR_MS), why_late=": the view waits for x")

    assert look.lacking == lacking
    assert bool(look.lacking_reason) is (lacking is not None)
    assert ("the view waits for x" in look.lacking_reason) is (lacking == "late")


def test_a_reference_of_few_rows_is_too_little_to_compare_with() -> None:
    few = read_reference(written_reference(windows_of([summary(-1, {1: 20})], TERMS)))
    progress = after(begin(monitor(), few), windows_of([summary(0, EVEN)], TERMS), until_ms=SINCE_MS + HOUR_MS)

    look = look_of(progress, monitor(), now_ms=SINCE_MS + HOUR_MS)

    assert look.lacking == "too_little_data"
    assert "20 rows" in look.lacking_reason


def test_a_reference_of_which_no_feature_has_enough_windows_is_too_little() -> None:
    thin = read_reference(written_reference(windows_of([summary(-hour, {1: 3}) for hour in range(30, 0, -1)], TERMS)))

    look = look_of(begin(monitor(), thin), monitor(), now_ms=SINCE_MS)

    assert look.lacking == "no_data"
    progress = after(begin(monitor(), thin), windows_of([summary(0, EVEN)], TERMS), until_ms=SINCE_MS + HOUR_MS)
    assert look_of(progress, monitor(), now_ms=SINCE_MS + HOUR_MS).lacking == "too_little_data"


def test_a_long_time_without_traffic_ends_nothing() -> None:
    windows = windows_of([summary(0, EVEN), summary(9_000, EVEN)], TERMS)

    progress = after(begin(monitor(), reference()), windows, until_ms=SINCE_MS + 9_001 * HOUR_MS)

    assert (progress.windows, progress.until_ms) == (2, SINCE_MS + 9_001 * HOUR_MS)


def test_windows_are_complete_up_to_the_watermark_and_never_beyond_now() -> None:
    now_ms = SINCE_MS + 5 * HOUR_MS + 600_000

    assert complete_until_ms(TERMS, SINCE_MS + 3 * HOUR_MS - 1, now_ms) == SINCE_MS + 3 * HOUR_MS
    assert complete_until_ms(TERMS, SINCE_MS + 3 * HOUR_MS - 2, now_ms) == SINCE_MS + 2 * HOUR_MS
    assert complete_until_ms(TERMS, now_ms + 9 * HOUR_MS, now_ms) == SINCE_MS + 5 * HOUR_MS
    # Where nothing was ever captured, nothing is waited for.
    assert complete_until_ms(TERMS, None, now_ms) == SINCE_MS + 4 * HOUR_MS
