import msgspec
import pytest

from projections.watermarks.watermark import (
    SourceProgress,
    WatermarkPolicy,
    combined,
    watermark_of,
)
from schemas.events.rollouts import MissingSource
from schemas.measurement import SilentRegion, Watermark

NOW = 1_000_000
POLICY = WatermarkPolicy()
LIVE = SourceProgress(
    kind="requests",
    source="a",
    region="local",
    closed_until_ms=NOW - 200,
    is_closing=False,
    first_seen_ms=NOW - 60_000,
    last_seen_ms=NOW - 100,
)


def source(name: str, **changes: object) -> SourceProgress:
    return msgspec.structs.replace(LIVE, source=name, **changes)


DEAD = source("dead", closed_until_ms=NOW - 20_000, last_seen_ms=NOW - 19_000)
NEWER = {"first_seen_ms": NOW - 15_000}


@pytest.mark.parametrize(
    ("sources", "freshness", "watermark_ms"),
    [
        pytest.param([], "no_data", None, id="no source was ever seen"),
        pytest.param([LIVE], "fresh", NOW - 201, id="one live source"),
        pytest.param([LIVE, source("b", closed_until_ms=NOW - 900)], "fresh", NOW - 901, id="the slowest one counts"),
        pytest.param([source("a", closed_until_ms=NOW - 5_500)], "late", NOW - 5_501, id="it sends but does not close"),
        pytest.param(
            [source("a", closed_until_ms=NOW + 4_000)], "fresh", NOW + 3_999, id="its clock is ahead a little"
        ),
        pytest.param([source("a", closed_until_ms=NOW + 5_001)], "late", NOW + 5_000, id="its clock is ahead by far"),
        pytest.param([source("a", last_seen_ms=NOW - 5_001)], "late", NOW - 201, id="it went silent"),
        pytest.param(
            [LIVE, source("b", is_closing=True, closed_until_ms=NOW - 50_000)],
            "fresh",
            NOW - 201,
            id="one said that it closes",
        ),
        pytest.param([source("a", is_closing=True)], "fresh", NOW - 201, id="the only one closed just now"),
        pytest.param(
            [source("a", is_closing=True, closed_until_ms=NOW - 9_000)], "late", NOW - 9_001, id="all closed long ago"
        ),
        pytest.param([LIVE, DEAD], "late", NOW - 20_001, id="one died and nothing replaced it"),
        pytest.param([source("b", **NEWER), DEAD], "fresh", NOW - 201, id="a newer one of the region replaced it"),
        pytest.param(
            [source("b", region="other", **NEWER), DEAD], "late", NOW - 20_001, id="a newer one of another region"
        ),
        pytest.param(
            [source("b", first_seen_ms=NOW - 500), source("a", last_seen_ms=NOW - 1_000, closed_until_ms=NOW - 1_500)],
            "fresh",
            NOW - 1_501,
            id="a pause is no death, though a second gateway starts",
        ),
        pytest.param(
            [LIVE, source("gone", last_seen_ms=NOW - 16 * 60_000, closed_until_ms=NOW - 16 * 60_000)],
            "fresh",
            NOW - 201,
            id="one is abandoned",
        ),
        pytest.param(
            [source("gone", last_seen_ms=NOW - 16 * 60_000, closed_until_ms=NOW - 16 * 60_000)],
            "late",
            NOW - 16 * 60_000 - 1,
            id="the only one is abandoned",
        ),
    ],
)
def test_the_watermark_of(sources: list[SourceProgress], freshness: str, watermark_ms: int | None) -> None:
    found = watermark_of(sources, now_ms=NOW, policy=POLICY)

    assert (found.freshness, found.watermark_ms) == (freshness, watermark_ms)


HOUR_MS = 3_600_000
AN_HOUR_AGO = {"first_seen_ms": NOW - HOUR_MS - 60_000, "last_seen_ms": NOW - HOUR_MS - 100}


@pytest.mark.parametrize(
    ("sources", "watermark_ms", "lag_ms", "waiting_for"),
    [
        pytest.param(
            [source("a", closed_until_ms=NOW + HOUR_MS)],
            *(NOW + HOUR_MS - 1, HOUR_MS, ("a",)),
            id="the clock of the only gateway was put forward",
        ),
        pytest.param(
            [LIVE, source("b", closed_until_ms=NOW + HOUR_MS)],
            *(NOW - 201, HOUR_MS, ("b",)),
            id="that of one of two was put forward",
        ),
        pytest.param(
            [LIVE, source("b", closed_until_ms=NOW - HOUR_MS)],
            *(NOW - HOUR_MS - 1, HOUR_MS + 1, ("b",)),
            id="that of one of two was put back",
        ),
        pytest.param(
            [LIVE, source("b", closed_until_ms=NOW - 10_000)],
            *(NOW - 10_001, 10_001, ("b",)),
            id="two disagree by ten seconds",
        ),
        pytest.param(
            [source("a", closed_until_ms=NOW - HOUR_MS - 200, **AN_HOUR_AGO)],
            *(NOW - HOUR_MS - 201, HOUR_MS + 201, ("a",)),
            id="the reader's was put forward",
        ),
        pytest.param(
            [source("a", closed_until_ms=NOW + HOUR_MS - 200, last_seen_ms=NOW + HOUR_MS - 100)],
            *(NOW + HOUR_MS - 201, HOUR_MS - 200, ("a",)),
            id="the reader's was put back",
        ),
        pytest.param(
            [source("a", **AN_HOUR_AGO)],
            *(NOW - 201, 201, ("a",)),
            id="the broker's was put back",
        ),
        pytest.param(
            [source("a", **AN_HOUR_AGO), source("gone", closed_until_ms=NOW - 9_000)],
            *(NOW - 9_001, 9_001, ("gone",)),
            id="the broker's was put back after a source went silent",
        ),
        pytest.param(
            [LIVE, source("gone", last_seen_ms=NOW + HOUR_MS, closed_until_ms=NOW - 9_000)],
            *(NOW - 9_001, 9_001, ("gone",)),
            id="the broker's is put forward, and a source that died seems to live",
        ),
    ],
)
def test_a_clock_that_is_set_makes_the_view_late_and_names_whose_records_are_missing(
    sources: list[SourceProgress], watermark_ms: int, lag_ms: int, waiting_for: tuple[str, ...]
) -> None:
    found = watermark_of(sources, now_ms=NOW, policy=POLICY)

    assert (found.freshness, found.watermark_ms, found.lag_ms) == ("late", watermark_ms, lag_ms)
    assert found.waiting_for == waiting_for


@pytest.mark.parametrize(("silence_ms", "freshness"), [(9_000, "late"), (11_000, "fresh")])
def test_an_engine_that_died_holds_up_the_view_until_its_spool_had_time_to_come(
    silence_ms: int, freshness: str
) -> None:
    dead = source("dead", kind="observations", last_seen_ms=NOW - silence_ms, closed_until_ms=NOW - silence_ms)
    newer = source("newer", kind="observations", first_seen_ms=NOW - silence_ms + 500)

    assert watermark_of([dead, newer], now_ms=NOW, policy=POLICY).freshness == freshness


@pytest.mark.parametrize("kind", ["requests", "observations", "telemetry"])
@pytest.mark.parametrize(
    ("dead_log", "newer_log", "waiting_for"),
    [
        pytest.param("log-a", "log-a", (), id="the newer one reads on from where it stopped"),
        pytest.param("log-a", "log-b", ("dead",), id="the newer one is that of another host"),
        pytest.param("", "", (), id="both are of an earlier release and do not say it"),
        pytest.param("", "log-b", ("dead",), id="another host was upgraded"),
        pytest.param("log-a", "", ("dead",), id="a host that is not upgraded yet boots"),
    ],
)
def test_a_source_that_died_is_replaced_by_a_boot_on_the_same_log_only(
    kind: str, dead_log: str, newer_log: str, waiting_for: tuple[str, ...]
) -> None:
    dead = msgspec.structs.replace(DEAD, kind=kind, log_id=dead_log)
    newer = source("newer", kind=kind, log_id=newer_log, **NEWER)

    assert watermark_of([dead, newer], now_ms=NOW, policy=POLICY).waiting_for == waiting_for


def test_a_log_whose_region_is_renamed_is_the_same_log() -> None:
    dead = msgspec.structs.replace(DEAD, log_id="log-a")
    newer = source("newer", region="renamed", log_id="log-a", **NEWER)

    assert watermark_of([dead, newer], now_ms=NOW, policy=POLICY).freshness == "fresh"


def test_a_lost_log_is_waited_for_until_it_is_given_up() -> None:
    dead = msgspec.structs.replace(GONE, region="local", log_id="log-a")
    other = source("other", log_id="log-b", first_seen_ms=GONE_MS + 1_000)
    before, after = GONE_MS + POLICY.abandoned_after_ms, GONE_MS + POLICY.abandoned_after_ms + 1
    seen_ms = {now_ms: {"closed_until_ms": now_ms - 200, "last_seen_ms": now_ms - 100} for now_ms in (before, after)}

    found = [
        watermark_of([dead, msgspec.structs.replace(other, **seen)], now_ms=now_ms, policy=POLICY)
        for now_ms, seen in seen_ms.items()
    ]

    assert [(each.freshness, each.waiting_for) for each in found] == [("late", ("gone",)), ("fresh", ())]


def test_a_late_view_names_what_it_waits_for() -> None:
    assert watermark_of([LIVE, DEAD], now_ms=NOW, policy=POLICY).waiting_for == ("dead",)


def test_a_join_is_as_late_as_its_latest_part() -> None:
    fresh = Watermark(watermark_ms=900, freshness="fresh", lag_ms=100)
    late = Watermark(watermark_ms=500, freshness="late", lag_ms=500, waiting_for=("b",))

    assert combined([fresh, late]) == Watermark(watermark_ms=500, freshness="late", lag_ms=500, waiting_for=("b",))


def test_a_join_with_a_kind_that_was_never_seen_goes_by_the_other() -> None:
    fresh = Watermark(watermark_ms=900, freshness="fresh", lag_ms=100)
    unseen = Watermark(watermark_ms=None, freshness="no_data", lag_ms=None)

    assert combined([fresh, unseen]) == fresh
    assert combined([unseen]).freshness == "no_data"


OLDER = source("older", first_seen_ms=NOW - 600_000, closed_until_ms=NOW - 300_000, last_seen_ms=NOW - 300_000)
REPLACER = source("replacer", first_seen_ms=NOW - 200_000, closed_until_ms=NOW - 6_000, last_seen_ms=NOW - 6_000)
LAGGING = source("lagging", closed_until_ms=NOW - 200_000)


@pytest.mark.parametrize(
    ("sources", "served_by", "waiting_for"),
    [
        pytest.param([LIVE, DEAD], {"dead"}, ("dead",), id="what is silent served the endpoint"),
        pytest.param([LIVE, DEAD], set(), (), id="it never did"),
        pytest.param([LIVE, DEAD], {"a"}, (), id="another did"),
        pytest.param([DEAD], set(), ("dead",), id="nobody else could tell"),
        pytest.param([LIVE], set(), (), id="none is silent"),
        pytest.param(
            [LIVE, msgspec.structs.replace(DEAD, has_rows=False)], set(), ("dead",), id="it had no time to tell"
        ),
        pytest.param([LIVE, LAGGING], set(), ("lagging",), id="one that sends may still tell of it"),
        pytest.param([LIVE, OLDER, REPLACER], set(), (), id="what was replaced stays so"),
    ],
)
def test_an_endpoint_waits_for_what_served_it(
    sources: list[SourceProgress], served_by: set[str], waiting_for: tuple[str, ...]
) -> None:
    found = watermark_of(sources, now_ms=NOW, policy=POLICY, served_by=served_by)

    assert found.waiting_for == waiting_for
    assert (found.freshness == "late") is bool(waiting_for)


EAST = source("east", region="east", last_seen_ms=NOW - 20_000, closed_until_ms=NOW - 20_500)


def test_a_late_view_says_of_which_region_the_missing_records_are_and_since_when() -> None:
    found = watermark_of([LIVE, EAST], now_ms=NOW, policy=POLICY)

    assert found.missing == (MissingSource(source="east", region="east", since_ms=NOW - 20_500),)
    assert found.silent_regions == (SilentRegion(region="east", since_ms=NOW - 20_500),)


def test_the_sources_of_an_excused_region_are_not_waited_for() -> None:
    found = watermark_of([LIVE, EAST], now_ms=NOW, policy=POLICY, excused=("east",))

    assert (found.freshness, found.watermark_ms, found.missing) == ("fresh", NOW - 201, ())
    assert [each.region for each in found.silent_regions] == ["east"]


def test_the_only_region_is_waited_for_though_it_is_excused() -> None:
    found = watermark_of([EAST], now_ms=NOW, policy=POLICY, excused=("east",))

    assert (found.freshness, found.waiting_for) == ("late", ("east",))


@pytest.mark.parametrize(
    ("others", "served_by"),
    [
        pytest.param([source("other", region="east")], None, id="another gateway of the region sends"),
        pytest.param([], set(), id="it never served the endpoint"),
    ],
)
def test_a_region_is_not_silent_when(others: list[SourceProgress], served_by: set[str] | None) -> None:
    found = watermark_of([LIVE, EAST, *others], now_ms=NOW, policy=POLICY, served_by=served_by)

    assert found.silent_regions == ()


def test_a_region_is_not_silent_for_an_engine_that_is_lost() -> None:
    lost = msgspec.structs.replace(EAST, kind="observations")
    living = msgspec.structs.replace(LIVE, kind="observations")

    assert watermark_of([living, lost], now_ms=NOW, policy=POLICY).silent_regions == ()


@pytest.mark.parametrize("now_ms", [NOW, NOW + HOUR_MS, NOW - HOUR_MS])
def test_a_region_is_silent_when_others_are_heard_whatever_the_clock_says_and_however_late_the_view_is(
    now_ms: int,
) -> None:
    cut_off, as_late = [LIVE, EAST], [LIVE, source("east", region="east")]

    found = [watermark_of(sources, now_ms=now_ms, policy=POLICY) for sources in (cut_off, as_late)]

    assert [[each.region for each in mark.silent_regions] for mark in found] == [["east"], []]


GONE_MS = NOW - 16 * 60_000
GONE = source("gone", region="east", first_seen_ms=GONE_MS - 9_000, last_seen_ms=GONE_MS, closed_until_ms=GONE_MS - 500)


def test_a_lost_region_that_served_what_is_asked_keeps_the_view_late_and_lets_others_be_counted() -> None:
    found = watermark_of([LIVE, GONE], now_ms=NOW, policy=POLICY, lost={"gone"})

    assert (found.freshness, found.watermark_ms, found.lag_ms) == ("late", NOW - 201, NOW - GONE_MS + 501)
    assert found.missing == (MissingSource(source="gone", region="east", since_ms=GONE_MS - 500),)
    assert found.silent_regions == (SilentRegion(region="east", since_ms=GONE_MS - 500),)


def test_it_stays_silent_while_it_is_excused_and_is_not_waited_for() -> None:
    found = watermark_of([LIVE, GONE], now_ms=NOW, policy=POLICY, lost={"gone"}, excused=("east",))

    assert (found.freshness, found.watermark_ms, found.missing) == ("fresh", NOW - 201, ())
    assert [each.region for each in found.silent_regions] == ["east"]


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param([LIVE, msgspec.structs.replace(GONE, region="local")], id="another gateway of its region sends"),
        pytest.param([LIVE, GONE, source("other", region="east", last_seen_ms=NOW - 100)], id="or began to send"),
        pytest.param([LIVE, msgspec.structs.replace(GONE, is_closing=True)], id="it said that it closes"),
        pytest.param([LIVE, msgspec.structs.replace(GONE, kind="observations")], id="it is an engine"),
    ],
)
def test_what_is_gone_is_forgotten_when(sources: list[SourceProgress]) -> None:
    found = watermark_of(sources, now_ms=NOW, policy=POLICY, lost={"gone"})

    assert (found.freshness, found.missing, found.silent_regions) == ("fresh", (), ())


def test_what_silent_sources_served_does_not_hide_a_lost_region() -> None:
    found = watermark_of([LIVE, DEAD, GONE], now_ms=NOW, policy=POLICY, served_by=frozenset(), lost={"gone"})

    assert (found.watermark_ms, found.waiting_for) == (NOW - 201, ("gone",))


def test_a_late_view_says_whose_clock_is_ahead_and_by_how_much() -> None:
    found = watermark_of([LIVE, source("b", closed_until_ms=NOW + HOUR_MS), DEAD], now_ms=NOW, policy=POLICY)

    assert [(each.source, each.ahead_ms) for each in found.missing] == [("b", HOUR_MS), ("dead", 0)]
