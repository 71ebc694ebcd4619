"""Roll-ups as SQL: by minute from the rows, and by hour and day from those of shorter spans.

The same text makes the minutes that are stored and those that are too young for it, so that a count does not depend on
which of the two it was read from. Parameters named here are bound by whoever runs a statement.
"""

from collections.abc import Callable, Mapping

import msgspec

from projections.class_names.rows import CLASSES
from projections.quality.rows import HAS_ANSWER
from projections.quality.typed_text import is_readable, number_in, spelled
from projections.rollups.spans import MINUTE_MS, Kind
from projections.rollups.tables import ANSWER_ROLLUPS, LABEL_ROLLUPS, REQUEST_ROLLUPS, SCORE_ROLLUPS
from projections.tables import Table

_DROPPED_BITS = 45
_KEPT = 2**64 - 2**_DROPPED_BITS
_STARTED = "toInt64OrZero(substring(prediction_id, 1, 13))"
# The record's start and the time inside the id are one clock reading, formatted twice.
_SLACK_MS = 1_000


def kept(number: str) -> str:
    """Return an expression for a number as roll-ups keep it: its 8 most significant bits, so 0.8 % at most below it.

    Whole numbers up to 256 and infinite ones are kept as they are. What is compared with a kept number must be kept
    likewise.
    """
    # Adding 0 makes one of the two zeros.
    return f"reinterpretAsFloat64(bitAnd(reinterpretAsUInt64(toFloat64({number}) + 0), toUInt64({_KEPT})))"


def above(numbers: str, limit: str) -> str:
    """Return an expression for how many of a map's numbers are above a limit."""
    return (
        f"arraySum((number, times) -> if(number > {kept(limit)}, times, 0), mapKeys({numbers}), mapValues({numbers}))"
    )


def below(numbers: str, limit: str) -> str:
    """Return an expression for how many of a map's numbers are below a limit."""
    return (
        f"arraySum((number, times) -> if(number < {kept(limit)}, times, 0), mapKeys({numbers}), mapValues({numbers}))"
    )


def total(numbers: str) -> str:
    """Return an expression for how many numbers a map has."""
    return f"arraySum(mapValues({numbers}))"


def _histogram(number: str, *, known: str) -> str:
    """Return an expression for the map of kept numbers to how often each of them is there."""
    pair = f"[{kept(number)}], [toUInt64(1)]"
    return f"CAST(sumMappedArraysIf({pair}, {known}), 'Map(Float64, UInt64)')"


def _counts(word: str, *, known: str) -> str:
    pair = f"[toString({word})], [toUInt64(1)]"
    return f"CAST(sumMappedArraysIf({pair}, {known}), 'Map(String, UInt64)')"


def _joined(counts: str, *, key: str) -> str:
    return f"CAST(sumMappedArrays(mapKeys({counts}), mapValues({counts})), 'Map({key}, UInt64)')"


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows are rolled up into which spans, as conditions and expressions.

    They are those from one time up to, without, another, and, where `starts` is given, of the spans that begin then.
    """

    from_ms: str
    until_ms: str
    span_ms: str = str(MINUTE_MS)
    starts: str | None = None
    of_workspace: str = "1"
    of_endpoint: str = "1"
    of_epoch: str = "1"

    def has(self, at_ms: str) -> str:
        """Return the condition on a time."""
        within = f"{at_ms} >= {self.from_ms} AND {at_ms} < {self.until_ms}"
        return within if self.starts is None else f"{within} AND {self.start_of(at_ms)} IN {self.starts}"

    def start_of(self, at_ms: str) -> str:
        """Return the beginning of the span that a time is in."""
        return f"intDiv({at_ms}, {self.span_ms}) * {self.span_ms}"


ALL = Chosen(from_ms="{from_ms:Int64}", until_ms="{until_ms:Int64}", starts="{starts:Array(Int64)}")
"""The rows of the minutes `starts`, which are between two times."""


class Rollup(msgspec.Struct, frozen=True, kw_only=True):
    """A table of roll-ups.

    Its columns are `keys`, the beginning of the span, and the names of `sums`, which make the values of a longer span
    of shorter ones. `counted` is the value that only ever grows. `from_rows` selects all of them from rows.
    """

    table: Table
    kind: Kind
    keys: tuple[str, ...]
    sums: Mapping[str, str]
    counted: str
    from_rows: Callable[[Chosen], str]

    @property
    def columns(self) -> str:
        return ", ".join((*self.keys, "start_ms", *self.sums))

    def store_minutes(self) -> str:
        """Insert the minutes `starts`, between `from_ms` and `until_ms`, made of the arrivals `made_from`."""
        return self._inserted(self.from_rows(ALL), span=f"toUInt32({MINUTE_MS})")

    def store_spans(self) -> str:
        """Insert the spans of `span_ms` that begin at `starts`, made of those of `part_ms`."""
        keys = ", ".join(self.keys)
        sums = ", ".join(f"{total} AS {name}" for name, total in self.sums.items())
        parts = f"""
            SELECT * EXCEPT start_ms, intDiv(start_ms, {{span_ms:Int64}}) * {{span_ms:Int64}} AS span_start_ms
            FROM {self.table.name} FINAL
            WHERE span_ms = {{part_ms:UInt32}} AND start_ms >= {{from_ms:Int64}} AND start_ms < {{until_ms:Int64}}
              AND span_start_ms IN {{starts:Array(Int64)}}
        """  # noqa: S608  our own names
        return self._inserted(
            f"SELECT {keys}, span_start_ms AS start_ms, {sums} FROM ({parts}) AS parts GROUP BY {keys}, span_start_ms",  # noqa: S608
            span="toUInt32({span_ms:UInt32})",
        )

    def _inserted(self, selected: str, *, span: str) -> str:
        made_from = "transform(start_ms, {starts:Array(Int64)}, {made_from:Array(UInt64)}, toUInt64(0))"
        rank = f"toUInt128({self.counted}) * toUInt128('18446744073709551616') + {made_from}"
        return f"""
            INSERT INTO {self.table.name} ({self.columns}, span_ms, rank)
            SELECT {self.columns}, {span}, {rank} FROM ({selected})
        """  # noqa: S608  our own names


def _requests(chosen: Chosen) -> str:
    return f"""
        SELECT workspace, endpoint_id, epoch, drawn_deployment_id, deployment_id,
               {chosen.start_of("ended_at_ms")} AS start_ms, any(version) AS version,
               count() AS requests, sum(is_error) AS errors, countIf(status BETWEEN 400 AND 499) AS refused,
               {_counts("error_class", known="error_class != ''")} AS error_classes,
               {_histogram("duration_ms", known="1")} AS durations_ms
        FROM (
            SELECT workspace, endpoint_id, epoch, deployment_id, ended_at_ms, version, status, is_error, error_class,
                   duration_ms,
                   if(r.drawn_deployment_id = '', deployment_id, r.drawn_deployment_id) AS drawn_deployment_id
            FROM request_records AS r FINAL
            WHERE role = 'primary' AND kind IN ('prediction', '') AND workspace != '' AND {chosen.has("ended_at_ms")}
              AND {chosen.of_workspace} AND {chosen.of_endpoint} AND {chosen.of_epoch}
            SETTINGS do_not_merge_across_partitions_select_final = 1
        )
        GROUP BY workspace, endpoint_id, epoch, drawn_deployment_id, deployment_id, start_ms
    """  # noqa: S608  our own names and numbers


def _served(chosen: Chosen, *, told: str = "1") -> str:
    """Select predictions. Each has one primary request: a shadow shares its id, and answers nobody."""
    return f"""
        SELECT workspace, prediction_id, any(i.endpoint_id) AS endpoint_id, any(i.epoch) AS epoch,
               any(i.deployment_id) AS deployment_id, any(i.version) AS version,
               {chosen.start_of(_STARTED)} AS start_ms
        FROM (
            SELECT workspace, prediction_id, endpoint_id, epoch, deployment_id, version FROM prediction_index
            WHERE role = 'primary' AND started_at_ms >= {chosen.from_ms} - {_SLACK_MS}
              AND started_at_ms < {chosen.until_ms} + {_SLACK_MS}
              AND {chosen.has(_STARTED)}
              AND {chosen.of_workspace} AND {chosen.of_endpoint} AND {chosen.of_epoch} AND {told}
        ) AS i
        GROUP BY workspace, prediction_id
    """  # noqa: S608  our own names and numbers


def _period(chosen: Chosen) -> str:
    return f"{chosen.has('predicted_at_ms')} AND {chosen.of_workspace}"


def _is_told(chosen: Chosen) -> str:
    """Select what feedback is about, where that is a small part of all; of few minutes, looking it up costs more."""
    if chosen.starts is None:
        return "1"
    return f"prediction_id IN (SELECT prediction_id FROM feedback WHERE {_period(chosen)})"  # noqa: S608  our own names


# An answer whose truth is of another type is neither right nor wrong.
def _labels(chosen: Chosen) -> str:
    return f"""
        SELECT workspace, endpoint_id, epoch, deployment_id, name, start_ms, any(version) AS version,
               countIf(is_readable) AS labelled, countIf(NOT is_readable) AS unreadable,
               countIf(is_readable AND NOT is_right) AS wrong
        FROM (
            SELECT t.*, {spelled("said", "answer.2")} AS truth,
                   {is_readable("said", "truth", other_name="answer.3", classes="classes")} AS is_readable,
                   ifNull(answer.1 = sipHash64(truth), 0) OR (answer.3 != '' AND answer.3 = said) AS is_right
            FROM ({_told_answers(chosen)}) AS t
            LEFT ANY JOIN {CLASSES} AS c USING (workspace, version_id)
        )
        GROUP BY workspace, endpoint_id, epoch, deployment_id, name, start_ms
    """  # noqa: S608  our own names and numbers


def _told_answers(chosen: Chosen) -> str:
    """Select answers with what was said last of each; an answer is its spelling's hash, data type and class."""
    return f"""
        SELECT workspace, endpoint_id, epoch, deployment_id, name, start_ms, version, version_id, answer, said
        FROM ({_served(chosen, told=_is_told(chosen))}) AS served
        INNER JOIN (
            SELECT workspace, prediction_id, deployment_id,
                   argMax(tuple(answer_hash, prediction_datatype, prediction_class), captured_at_ms) AS answer,
                   any(o.version_id) AS version_id
            FROM observation_records AS o
            WHERE {_period(chosen)} AND {chosen.of_endpoint} AND {_is_told(chosen)}
              AND {HAS_ANSWER}
            GROUP BY workspace, prediction_id, deployment_id
        ) AS answered USING (workspace, prediction_id, deployment_id)
        INNER JOIN (
            SELECT workspace, prediction_id, name, argMax(value, recency) AS said
            FROM feedback WHERE {_period(chosen)} GROUP BY workspace, prediction_id, name
        ) AS told USING (workspace, prediction_id)
    """  # noqa: S608  our own names and numbers


# What callers report of a prediction: no answer is compared, and text that is not a number does not count. Infinite
# numbers do; NaN is `scored` but not among the `numbers`, as it is on no side of a threshold.
def _scores(chosen: Chosen) -> str:
    return f"""
        SELECT workspace, endpoint_id, epoch, deployment_id, name, start_ms, count() AS told,
               countIf(number IS NOT NULL) AS scored,
               {_histogram("assumeNotNull(number)", known="NOT isNaN(number)")} AS numbers
        FROM ({_served(chosen, told=_is_told(chosen))}) AS served
        INNER JOIN (
            SELECT workspace, prediction_id, name, {number_in("argMax(value, recency)")} AS number
            FROM feedback WHERE {_period(chosen)} GROUP BY workspace, prediction_id, name
        ) AS words USING (workspace, prediction_id)
        GROUP BY workspace, endpoint_id, epoch, deployment_id, name, start_ms
    """  # noqa: S608  our own names and numbers


# What an answer does not have stands as -1.
def _answers(chosen: Chosen) -> str:
    return f"""
        SELECT workspace, endpoint_id, epoch, deployment_id, start_ms, count() AS answers,
               {_histogram("answer.1", known="answer.1 >= 0")} AS first_token_ms,
               {_histogram("answer.2", known="answer.2 >= 0")} AS token_ms,
               {_histogram("answer.3", known="answer.3 >= 0")} AS tokens_out,
               {_counts("answer.4", known="answer.4 != ''")} AS finish_reasons
        FROM ({_served(chosen)}) AS served
        INNER JOIN (
            SELECT workspace, prediction_id, deployment_id,
                   argMax(tuple(o.first_token_ms, o.token_ms, o.tokens_out, o.finish_reason), captured_at_ms) AS answer
            FROM observation_records AS o
            WHERE {_period(chosen)} AND {chosen.of_endpoint}
              AND (o.first_token_ms >= 0 OR o.token_ms >= 0 OR o.tokens_out >= 0 OR o.finish_reason != '')
            GROUP BY workspace, prediction_id, deployment_id
        ) AS answered USING (workspace, prediction_id, deployment_id)
        GROUP BY workspace, endpoint_id, epoch, deployment_id, start_ms
    """  # noqa: S608  our own names and numbers


_ANSWERED = ("workspace", "endpoint_id", "epoch", "deployment_id")

REQUESTS = Rollup(
    table=REQUEST_ROLLUPS,
    kind="requests",
    keys=("workspace", "endpoint_id", "epoch", "drawn_deployment_id", "deployment_id"),
    sums={
        "version": "any(parts.version)",
        "requests": "sum(parts.requests)",
        "errors": "sum(parts.errors)",
        "refused": "sum(parts.refused)",
        "error_classes": _joined("parts.error_classes", key="String"),
        "durations_ms": _joined("parts.durations_ms", key="Float64"),
    },
    counted="requests",
    from_rows=_requests,
)
LABELS = Rollup(
    table=LABEL_ROLLUPS,
    kind="predictions",
    keys=(*_ANSWERED, "name"),
    sums={
        "version": "any(parts.version)",
        "labelled": "sum(parts.labelled)",
        "wrong": "sum(parts.wrong)",
        "unreadable": "sum(parts.unreadable)",
    },
    counted="(labelled + unreadable)",
    from_rows=_labels,
)
SCORES = Rollup(
    table=SCORE_ROLLUPS,
    kind="predictions",
    keys=(*_ANSWERED, "name"),
    sums={
        "told": "sum(parts.told)",
        "scored": "sum(parts.scored)",
        "numbers": _joined("parts.numbers", key="Float64"),
    },
    counted="told",
    from_rows=_scores,
)
ANSWERS = Rollup(
    table=ANSWER_ROLLUPS,
    kind="predictions",
    keys=_ANSWERED,
    sums={
        "answers": "sum(parts.answers)",
        "first_token_ms": _joined("parts.first_token_ms", key="Float64"),
        "token_ms": _joined("parts.token_ms", key="Float64"),
        "tokens_out": _joined("parts.tokens_out", key="Float64"),
        "finish_reasons": _joined("parts.finish_reasons", key="String"),
    },
    counted="answers",
    from_rows=_answers,
)

ROLLUPS = (REQUESTS, LABELS, SCORES, ANSWERS)
