"""What the API answers, and what its bodies are made of. Fields that a newer server adds are ignored.

Generated from schemas/generated/openapi.json by clients/sdk/generate.py.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, convert, field

from rollbook.shapes import CanaryShape, RolloutShape, Shape, VersionShape


class AnswerTokensGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="answer_tokens"):
    """The share of answers of over `threshold` tokens may exceed the baseline's by at most `max_increase` (0–1)."""

    threshold: int
    max_increase: float
    min_requests: int


class ArtifactChoice(Shape, frozen=True, kw_only=True):
    """A file of the artifact store, and what it is; an adapter names its parent as `model/number` or by its id."""

    digest: str
    format: Literal["catboost", "external", "lightgbm", "lora", "onnx", "skops", "torch", "transformers", "xgboost"]
    parent: str | None = None


class AssignmentKey(Shape, frozen=True, kw_only=True):
    """What keeps a caller on one bucket: the value of a header, or a claim of the caller's token. One of the two."""

    header: str | None = None
    claim: str | None = None


class BetweenTokensGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="between_tokens"):
    """The share of streams over `threshold_ms` a token may exceed the baseline's by at most `max_increase` (0–1).

    The time between the tokens of a stream is their mean distance.
    """

    threshold_ms: float
    max_increase: float
    min_requests: int


class Bounds(Shape, frozen=True, kw_only=True):
    """Changes that do not matter, by kind of score.

    `location` and `spread` are in ranks of the reference: 0.02 of location means that a value of now exceeds one of
    then in up to 52 % of pairs, as after a shift by 0.07 standard deviations. The others are shares: 0.01 is a point.
    """

    location: float = 0.02
    spread: float = 0.02
    outside: float = 0.01
    missing: float = 0.01
    category: float = 0.01
    new: float = 0.01


class CallerErrorRateGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="caller_error_rate"):
    """The candidate's share of requests refused with 4xx may exceed the baseline's by at most `max_increase` (0–1).

    A plan with an `error_rate` gate and without this one has it with the same limits, except on an endpoint that keeps
    callers on a version by a key of its own.
    """

    max_increase: float
    min_requests: int


class CanaryStep(Shape, frozen=True, kw_only=True):
    """One weight of the candidate; it ends between `min_duration_ms` and `max_duration_ms` after it was applied.

    The last step, 100 %, has no baseline beside it: it lasts the bake time, or its `min_duration_ms` if that is longer.
    """

    weight_percent: float
    min_duration_ms: int
    max_duration_ms: int


class CapturePolicy(Shape, frozen=True, kw_only=True):
    """What may be kept of an endpoint's predictions; without a list of names, all inputs or outputs are kept.

    `sampling_rate` is decided by the prediction id, so that every reader and a shadow decide alike. `hashed` inputs
    and outputs leave as a keyed digest of their values; more than `max_values` values or `max_bytes` bytes are cut.
    `prediction` is the first value of the first output, which feedback is compared with. The read side forgets all of
    it `retention_days` after it was captured.
    """

    inputs: list[str] | None = None
    outputs: list[str] | None = None
    sampling_rate: float = 1.0
    hashed: list[str] = field(default_factory=list)
    max_values: int = 4096
    max_bytes: int = 32768
    prediction: bool = True
    retention_days: int = 7


class ErrorRateGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="error_rate"):
    """The candidate's share of failed requests may exceed the baseline's by at most `max_increase` (0–1)."""

    max_increase: float
    min_requests: int


class FailoverPolicyBody(Shape, frozen=True, kw_only=True):
    """The whole policy, with defaults. `backup` is a deployment's id, or its version as model/number."""

    backup: str | None = None
    backup_regions: list[str] | None = None
    max_retries: int | None = None
    per_try_timeout_ms: int | None = None
    retry_budget_percent: float = 50.0
    retries_at_once: int = 64
    max_connections: int = 1024
    max_pending: int = 1024
    max_requests: int = 1024


class FeedbackItem(Shape, frozen=True, kw_only=True):
    """What became known of one prediction; the last one in the log of a (prediction, source, name) wins."""

    prediction_id: str
    name: str
    value: bool | int | float | str
    source: str = "api"
    observed_at: str | None = None


class FirstTokenGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="first_token"):
    """The share of streams that begin after `threshold_ms` may exceed the baseline's by at most `max_increase`, 0–1."""

    threshold_ms: float
    max_increase: float
    min_requests: int


class GoldenInputBody(Shape, frozen=True, kw_only=True):
    """One input tensor; `data` is flattened, row by row."""

    name: str
    datatype: Literal[
        "BF16",
        "BOOL",
        "BYTES",
        "FP16",
        "FP32",
        "FP64",
        "INT16",
        "INT32",
        "INT64",
        "INT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "UINT8",
    ]
    shape: list[int]
    data: list[bool | int | float | str]


class LatencyGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="latency"):
    """The share of requests slower than `threshold_ms` may exceed the baseline's by at most `max_increase` (0–1)."""

    threshold_ms: float
    max_increase: float
    min_requests: int


class LossGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="loss"):
    """The share of predictions with a loss above `threshold` may exceed the baseline's by at most `max_increase` (0–1).

    The loss of a prediction is the feedback called `feedback_name`, a number: the lower the better.
    """

    feedback_name: str
    threshold: float
    max_increase: float
    min_labels: int


class MeasureEpochOf(Shape, frozen=True, kw_only=True):
    """Which arms of which epoch of an endpoint, by its name or id; what has no name or threshold is not counted.

    The watermark does not wait for gateways and engines of `excused_regions`. What came from there is counted. An
    earlier API refuses members that it does not know, so those that have their default are not sent.
    """

    epoch: int
    candidate: str
    baseline: str
    endpoint: str
    latency_threshold_ms: float | None = None
    feedback_name: str | None = None
    loss_name: str | None = None
    loss_threshold: float | None = None
    rating_name: str | None = None
    rating_threshold: float | None = None
    first_token_threshold_ms: float | None = None
    between_tokens_threshold_ms: float | None = None
    answer_tokens_threshold: int | None = None
    truncation: bool | None = None
    excused_regions: list[str] = field(default_factory=list)


class QualityGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="quality"):
    """The candidate's accuracy may fall below the concurrent baseline's by at most `max_drop` (0–1).

    The truth of a prediction is the feedback called `feedback_name`.
    """

    feedback_name: str
    max_drop: float
    min_labels: int


class RatingGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="rating"):
    """The share of predictions rated below `threshold` may exceed the baseline's by at most `max_increase` (0–1).

    The rating of a prediction is the feedback called `feedback_name`, a number: the higher the better.
    """

    feedback_name: str
    threshold: float
    max_increase: float
    min_labels: int


class ReferenceTraffic(Shape, frozen=True, kw_only=True):
    """A stretch of past traffic, in Unix ms; until now, and of all deployments that have a share of the traffic now."""

    from_ms: int
    until_ms: int | None = None
    deployments: list[str] = field(default_factory=list)


class ScalingPolicy(Shape, frozen=True, kw_only=True):
    """How many replicas each deployment of an endpoint has; at least one target is given.

    `in_flight`, `queue_depth` and `tokens_waiting` are what one replica should have at most, `latency_ms` is the mean
    that requests should take. Replicas grow to what the load of now asks for, `cool_down_ms` after the last change;
    they shrink to what the highest load of the last `stabilisation_window_ms` asks for, never sooner than that after
    a change. With `min_replicas` 0 a deployment sleeps once no one asked it for `idle_before_zero_ms`.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    in_flight: float | None = None
    queue_depth: float | None = None
    latency_ms: float | None = None
    tokens_waiting: float | None = None
    tolerance: float = 0.1
    cool_down_ms: int = 5000
    stabilisation_window_ms: int = 60000
    idle_before_zero_ms: int = 300000


class TensorBody(Shape, frozen=True, kw_only=True):
    """Name, Open Inference Protocol data type and shape (-1 where the size is free) of one input or output.

    An input of a floating-point type may allow missing values: null in JSON, NaN in bytes. An output may name its
    `classes`, so that feedback can call an answer by name or by index: an integer is the index of a class, a text its
    name, and floats are a score for each class, of which the highest counts.
    """

    name: str
    datatype: Literal[
        "BF16",
        "BOOL",
        "BYTES",
        "FP16",
        "FP32",
        "FP64",
        "INT16",
        "INT32",
        "INT64",
        "INT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "UINT8",
    ]
    shape: list[int]
    allows_missing: bool = False
    classes: list[str] = field(default_factory=list)


class TruncationGate(Shape, frozen=True, kw_only=True, tag_field="kind", tag="truncation"):
    """The share of answers cut off at the limit of tokens may exceed the baseline's by at most `max_increase` (0–1)."""

    max_increase: float
    min_requests: int


class Weight(Shape, frozen=True, kw_only=True):
    """The share of an endpoint's traffic that a deployment gets; the weights of all sum to 100."""

    deployment_id: str
    weight_percent: float


class Accepted(Shape, frozen=True, kw_only=True):
    """How many items are safe in the log of feedback."""

    accepted: int


class Arm(Shape, frozen=True, kw_only=True):
    """Counts of one deployment since the epoch began. Latencies are None without requests.

    `refused` are the requests that it answered with 4xx, which are no errors.

    `over` of the `scored` predictions have a reported loss above the threshold, `under` of the `rated` a rating below
    theirs. Infinite numbers count, and NaN counts as over and as under: it is never good.

    Of the language model's answers that were captured, `late` of the `streams` began and `slow_between` of the `paced`
    went on above the limits, `truncated` of the `answers` were cut off, and `long` of the `counted` have more tokens
    than the limit.
    """

    requests: int = 0
    errors: int = 0
    refused: int = 0
    slow: int = 0
    labelled: int = 0
    wrong: int = 0
    scored: int = 0
    over: int = 0
    rated: int = 0
    under: int = 0
    streams: int = 0
    late: int = 0
    paced: int = 0
    slow_between: int = 0
    answers: int = 0
    truncated: int = 0
    counted: int = 0
    long: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Artifact(Shape, frozen=True, kw_only=True):
    """A file in the content-addressed store; `digest` is `sha256:<64 hex>`.

    Of the formats `transformers` and `lora` it is the index of a directory, of `external` the description of a server.
    An adapter (`lora`) has a parent: the id of the version whose weights it adapts. Others are written without.
    """

    digest: str
    size_bytes: int
    format: str
    parent: str | None = None


class BatchFile(Shape, frozen=True, kw_only=True):
    """A file that came of a batch, with a line for each request in it."""

    file_id: str
    sha256: str
    size_bytes: int
    lines: int


class BatchInput(Shape, frozen=True, kw_only=True):
    """The file that was given; `sha256` is its hex digest."""

    file_id: str
    sha256: str
    size_bytes: int


class BatchProblem(Shape, frozen=True, kw_only=True):
    """Why a file cannot be run: a code, and the line that it is about, counted from 1. The line itself is left out."""

    code: str
    line: int | None


class Bucket(Shape, frozen=True, kw_only=True):
    """One span of time of one deployment under one epoch. `errors` counts by class.

    `in_flight` and `queue_depth` are means over the span, of all the deployment's instances together as the agents
    sampled them; null where no one did.
    """

    bucket_ms: int
    deployment_id: str
    version: str
    epoch: int
    requests: int
    errors: dict[str, int]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    in_flight: float | None = None
    queue_depth: float | None = None


BucketRange: TypeAlias = Annotated[
    list[Any],
    Meta(description="Buckets `start` (inclusive) to `end` (exclusive) of 10,000; stored as a two-element array."),
]
"""Buckets `start` (inclusive) to `end` (exclusive) of 10,000; stored as a two-element array."""


class Changed(Shape, frozen=True, kw_only=True):
    """The answer of a command on a principal."""

    id: str
    role: str
    is_erased: bool
    position: int = 0


class Comparison(Shape, frozen=True, kw_only=True):
    """A version and its shadow over the requests that both got; `agreement` is None where no pair was compared."""

    deployment_id: str
    version: str
    shadow_deployment_id: str
    shadow_version: str
    pairs: int
    compared: int
    same: int
    agreement: float | None
    errors: int
    shadow_errors: int
    p50_ms: float
    p99_ms: float
    shadow_p50_ms: float
    shadow_p99_ms: float
    p50_difference_ms: float


class Counts(Shape, frozen=True, kw_only=True):
    """`bad` of `trials`: failed, slow or wrong ones, cumulative since the step was applied."""

    trials: int
    bad: int


class FailoverPolicy(Shape, frozen=True, kw_only=True):
    """Who answers in place of instances that cannot be reached, and what an endpoint may ask of them at once.

    A region's requests go to instances of the region first, then to those of the backup regions in order; without a
    list, of any other region. When no region has a healthy instance of the version, the backup deployment answers.
    Without `max_retries` a request is tried often enough to reach the last of these levels. Retries are limited to a
    share of the requests in progress, above `retries_at_once`. The last three limit what one gateway uses of one
    deployment at a time.
    """

    backup_deployment_id: str | None = None
    backup_regions: list[str] | None = None
    max_retries: int | None = None
    per_try_timeout_ms: int | None = None
    retry_budget_percent: float = 50.0
    retries_at_once: int = 64
    max_connections: int = 1024
    max_pending: int = 1024
    max_requests: int = 1024


class FailoverStarted(Shape, frozen=True, kw_only=True):
    """In `region`, what `from_region` usually answers for a deployment is answered elsewhere or by another one.

    Said again when it is taken over by yet another one. `code` is `no-instance` or `instances-unreachable`.
    """

    region: str
    deployment_id: str
    from_region: str
    to_deployment_id: str
    to_region: str
    code: str
    reason: str
    observed_at: str


class FeatureSummary(Shape, frozen=True, kw_only=True):
    """One feature of one deployment in one window.

    `values` are the finite numbers or the texts. What is `missing` (null), `infinite`, `unreadable` or `cut` off by the
    capture policy is not among them. `counts` are of the numbers in each of the `bins`, which `infra/value_bins.py`
    defines; other features have `categories`, of which at most 256 are kept, and the `other` values. Sums are null
    without numbers, and where they are too large for a float.
    """

    start_ms: int
    deployment_id: str
    version_id: str
    feature: str
    kind: str
    values: int
    missing: int
    infinite: int
    unreadable: int
    cut: int
    sum: float | None
    sum_of_squares: float | None
    minimum: float | None
    maximum: float | None
    bins: list[int]
    counts: list[int]
    categories: dict[str, int]
    other: int


class FeedbackOfSource(Shape, frozen=True, kw_only=True):
    """What one source reported under one name, of all predictions of the workspace.

    `told` counts the predictions that have feedback, `messages` all that was reported of them, `repetitions` and
    `corrections` those that repeat or change the source's last value. `orphans` are predictions that no request record
    knows: the id is wrong, of another workspace, or older than the records that are kept.
    """

    feedback_name: str
    source: str
    told: int
    messages: int
    repetitions: int
    corrections: int
    orphans: int


class FeedbackOnEndpoint(Shape, frozen=True, kw_only=True):
    """What was reported under one name of an endpoint's predictions.

    `told` counts the predictions that have feedback, `messages` all that was reported of them: `repetitions` of the
    last value from the same source, and `corrections` of it. The others count predictions: `contradicted` are those for
    which two sources report different values, `late` those whose first feedback came after the endpoint's traffic had
    changed again, too late for a gate. Those `unanswered` have no captured answer that a label could be compared with.

    The last three count predictions by what their last feedback can be used for: `labels` are values of the answer's
    data type, or one of its classes; `numbers` are of use to gates on losses and ratings, whatever the answer is, also
    of predictions without one. An integer may be both. What is neither, beside an answer, is `unreadable`.
    """

    feedback_name: str
    told: int
    messages: int
    repetitions: int
    corrections: int
    contradicted: int
    late: int
    unanswered: int
    labels: int
    numbers: int
    unreadable: int


class Finding(Shape, frozen=True, kw_only=True):
    """The strongest change of one feature.

    `began_at_ms` is the start of the window in which the change most likely began. `effect` is the mean of the score
    since then minus the reference's at the same hours, with a 99 % interval for a start known beforehand; since the
    start was chosen, the effect is somewhat overstated soon after an alarm. `reference` and `allowed` are the mean of
    the reference and the largest change that does not matter. `log_evidence` is log R, averaged over the effects.
    `category` is the one that a share is of, "" for other kinds.
    """

    feature: str
    kind: str
    category: str
    direction: str
    began_at_ms: int
    effect: float
    lower: float
    upper: float
    reference: float
    allowed: float
    rows: int
    reference_rows: int
    log_evidence: float


class GoldenInput(Shape, frozen=True, kw_only=True):
    """One input tensor as an Open Inference Protocol request carries it; `data` is flattened, row by row."""

    name: str
    datatype: str
    shape: list[int]
    data: list[bool | int | float | str]


class Health(Shape, frozen=True, kw_only=True):
    """The process runs."""

    status: str = "ok"


class Instance(Shape, frozen=True, kw_only=True):
    """One engine process on one host; the address is empty where it never took traffic."""

    endpoint_id: str
    deployment_id: str
    agent_id: str
    id: str
    workspace: str
    phase: str
    created_at: str
    stream_version: int
    boot_id: str = ""
    host: str = ""
    port: int = 0
    region: str = ""
    zone: str = ""
    code: str | None = None
    reason: str | None = None


class IssuedToken(Shape, frozen=True, kw_only=True):
    """The answer that holds a token, the only time it is shown."""

    id: str
    token_id: str
    token: str
    position: int = 0


class ItemProblem(Shape, frozen=True, kw_only=True):
    """Why one item was not carried out; `field` is the JSON path within the item, `remedy` what the caller can do."""

    code: str
    detail: str
    field_: str | None = field(name="field")
    remedy: str | None = None


class KeptTable(Shape, frozen=True, kw_only=True):
    """What a table holds, of all workspaces together, and how long it keeps a row.

    `rows` and `bytes` are as stored: a row that was shipped twice may count twice until ClickHouse merges the two.
    `retention_days` counts from the time that `oldest_at` and `newest_at` are of. It is null where rows are kept
    forever, and where each row has a number of days of its own, in the column `retention_column`.
    """

    table: str
    purpose: str
    rows: int
    bytes: int
    retention_days: int | None
    retention_column: str | None
    oldest_at: str | None
    newest_at: str | None


class KeptTables(Shape, frozen=True, kw_only=True):
    """The tables in the order of their names."""

    items: list[KeptTable]


class KnownFeedback(Shape, frozen=True, kw_only=True):
    """What became known of a prediction later."""

    source: str
    name: str
    value: str
    observed_at: str
    received_at: str


class Load(Shape, frozen=True, kw_only=True):
    """What a deployment must do, over all its replicas; a figure that is not available is null."""

    in_flight: float | None = None
    queue_depth: float | None = None
    latency_ms: float | None = None
    tokens_waiting: float | None = None


class LoadMeasurement(Shape, frozen=True, kw_only=True):
    """The last look, and what was seen before it without a gap.

    `scaling_version` is the stream version of the event that set policy or replicas, as the measurer knew it: a
    measurement of an earlier state is stale. `watched_ms` is how long each look has been complete, `idle_ms` how long
    no one asked for the deployment, `highest` the highest load within the policy's window.
    """

    scaling_version: int
    measured_at_ms: int
    ready: int
    now: Load
    highest: Load
    watched_ms: int
    idle_ms: int
    is_complete: bool


class LogEntry(Shape, frozen=True, kw_only=True):
    """An event's canonical JSON, beside its position."""

    position: int
    event: Any


class MintedToken(Shape, frozen=True, kw_only=True):
    """A token, the id by which it can be revoked, and when it ends."""

    id: str
    token: str
    expires_at: str


class MissingSource(Shape, frozen=True, kw_only=True):
    """A gateway or an engine whose records of after `since_ms` (Unix ms, its own clock) are missing.

    If its clock is ahead by `ahead_ms`, nobody can tell which of its records are.
    """

    source: str
    region: str
    since_ms: int
    ahead_ms: int = 0


class Model(Shape, frozen=True, kw_only=True):
    """A model as callers see it; an alias names the number of a version."""

    id: str
    name: str
    description: str
    tags: dict[str, str]
    latest_version: int | None
    created_at: str
    aliases: dict[str, int] = field(default_factory=dict)
    position: int = 0


class ModelPage(Shape, frozen=True, kw_only=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Model]
    next: str | None = None


class MonitorTerms(Shape, frozen=True, kw_only=True):
    """What a monitor watches and how often it may be wrong.

    Without `features` it watches all that the reference has. `false_alarm_budget` is the allowed probability of any
    false alarm within 30 days, over all features and looks. A window that ended `late_after_ms` ago and is not there
    yet is late. `settling_windows` of traffic show how rows depend on each other where the reference cannot.
    """

    detector: str
    features: list[str]
    window_ms: int
    false_alarm_budget: float
    late_after_ms: int
    settling_windows: int
    bounds: Bounds


class Pair(Shape, frozen=True, kw_only=True):
    """One request and its copy; an answer is empty where the capture policy did not keep it."""

    prediction_id: str
    started_at_ms: int
    version: str
    shadow_version: str
    answer: str
    shadow_answer: str
    is_compared: bool
    is_same: bool
    duration_ms: float
    shadow_ms: float
    is_error: bool
    is_shadow_error: bool


class Prediction(Shape, frozen=True, kw_only=True):
    """What served it, the event that routed it (null while the log's view is behind), and its feedback.

    `expired` names the tables that no longer keep rows of its time.
    """

    prediction_id: str
    endpoint: str
    endpoint_id: str
    deployment_id: str
    version_id: str
    version: str
    epoch: int
    role: str
    region: str
    instance: str
    status: int
    trace_id: str
    started_at: str
    instance_region: str
    drawn_deployment_id: str
    found_in: str
    event: Any
    feedback: list[KnownFeedback]
    expired: list[str]


class PublicKey(Shape, frozen=True, kw_only=True):
    """A JSON Web Key of type OKP."""

    kid: str
    x: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = "EdDSA"
    use: str = "sig"


class QualityBucket(Shape, frozen=True, kw_only=True):
    """One span of time of one deployment: how many labels there are, and the share that agrees with the answer.

    A label that is no value of the answer's data type, or none of its classes, is `unreadable`, and neither right nor
    wrong. Without any other there is no accuracy.
    """

    bucket_ms: int
    deployment_id: str
    version: str
    feedback_name: str
    labelled: int
    correct: int
    accuracy: float | None
    unreadable: int


class Quantiles(Shape, frozen=True, kw_only=True):
    """Milliseconds that half, 95 and 99 % of the calls took at most."""

    p50: float
    p95: float
    p99: float


class Readiness(Shape, frozen=True, kw_only=True):
    """Commands need the store alone; queries need ClickHouse, feedback needs Kafka.

    `failing` names the work of the API, such as its one writer of events, that met an error within the last minute and
    went on.
    """

    status: str
    store: str
    position: int
    parts: dict[str, str]
    failing: list[str]
    gateway_url: str


class ReferenceFixed(Shape, frozen=True, kw_only=True):
    """The windows of the reference were read and kept, as the artifact with this digest; they stay what they are."""

    digest: str
    windows: int
    rows: int
    features: list[str]


class ReferenceStretch(Shape, frozen=True, kw_only=True):
    """A stretch of the endpoint's past traffic: what these deployments were asked and answered, in Unix ms."""

    deployment_ids: list[str]
    from_ms: int
    until_ms: int


class RegionAway(Shape, frozen=True, kw_only=True):
    """A region that serves the endpoint and is cut off: its gateways serve an earlier `epoch` still, or are silent.

    It should have served a newer one `since` then, or, if the epoch is the step's, nothing of after that has come from
    it. `away_ms` is how long the step has waited by the judge's clock.
    """

    region: str
    epoch: int
    since: str
    away_ms: int


class RemovedEndpoint(Shape, frozen=True, kw_only=True):
    """Which endpoint was removed."""

    id: str
    name: str
    position: int = 0


class Resources(Shape, frozen=True, kw_only=True):
    """One span of time of one process. A measure that no one took is null, never zero; rates need two samples."""

    bucket_ms: int
    subject: str
    subject_id: str
    boot_id: str
    region: str
    deployment_id: str
    last_at_ms: int
    cpu_percent: float | None = None
    memory_bytes: float | None = None
    memory_limit_bytes: float | None = None
    gpu_percent: float | None = None
    gpu_memory_bytes: float | None = None
    disk_free_bytes: float | None = None
    spool_bytes: float | None = None
    in_flight: float | None = None
    queue_depth: float | None = None
    model_memory_bytes: float | None = None
    kv_cache_fraction: float | None = None
    connections: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    rows_per_call: float | None = None


class RevokedPrincipal(Shape, frozen=True, kw_only=True):
    """A principal whose tokens from before a time (Unix seconds, as `iat`) are refused."""

    principal_id: str
    issued_before_s: int


class RoutedBy(Shape, frozen=True, kw_only=True):
    """The event of an epoch, in short."""

    event_id: str
    type: str
    position: int


class Served(Shape, frozen=True, kw_only=True):
    """What served a prediction; (endpoint_id, epoch) names the event that routed it.

    `found_in` is the table that says so: `prediction_index` where the request's own record expired.
    `trace_id` is the W3C trace that the request belonged to, empty where it belonged to none or its record expired.
    `drawn_deployment_id` is what the split named, where another stood in for it; `region` is the gateway's.
    """

    prediction_id: str
    endpoint: str
    endpoint_id: str
    deployment_id: str
    version_id: str
    version: str
    epoch: int
    role: str
    region: str
    instance: str
    status: int
    trace_id: str
    started_at: str
    instance_region: str
    drawn_deployment_id: str
    found_in: str


class ServingGateway(Shape, frozen=True, kw_only=True):
    """A gateway that has served the endpoint: the newest epoch that it serves, and the first one.

    `behind_since` is when it should have begun to serve a newer one, None while it serves the current one.
    """

    gateway_id: str
    epoch: int
    first_epoch: int
    behind_since: str | None = None


class ServingRegion(Shape, frozen=True, kw_only=True):
    """A region whose gateways have served the endpoint: the newest epoch that one of them serves, and the first one.

    `behind_since` is when they should have begun to serve a newer one, None while one serves the current one.
    `gateways` says so of each; documents of earlier releases have none.
    """

    region: str
    epoch: int
    first_epoch: int
    behind_since: str | None = None
    gateways: list[ServingGateway] = field(default_factory=list)


class ShadowSet(Shape, frozen=True, kw_only=True):
    """This share of the endpoint's requests is copied to the deployment, and its answers are discarded.

    It takes the place of the shadow before, if there was one. Copying begins with the first instance.
    """

    deployment_id: str
    percent: float
    reason: str


class SignedCheckpoint(Shape, frozen=True, kw_only=True):
    """A signed note with its parts beside it; `root` is base64, `public_key` a verifier key of signed notes."""

    checkpoint: str
    tree_size: int
    root: str
    position: int
    public_key: str


class SigningKey(Shape, frozen=True, kw_only=True):
    """A public Ed25519 key of inference tokens: `x` is base64url, and the private half is never on the log.

    It signs from `signs_from` on until a later key does, and its tokens are good until `valid_until`.
    """

    key_id: str
    x: str
    signs_from: str
    valid_until: str | None


class SilentRegion(Shape, frozen=True, kw_only=True):
    """A region of whose gateways nothing comes; records of after `since_ms` (Unix ms, their own clocks) are missing."""

    region: str
    since_ms: int


class StoredArtifact(Shape, frozen=True, kw_only=True):
    """A file that the store holds."""

    digest: str
    size_bytes: int


class Tensor(Shape, frozen=True, kw_only=True):
    """Name, Open Inference Protocol data type and shape (-1 where the size is free) of one input or output.

    An input of a floating-point type may allow missing values: null in JSON, NaN in bytes. Others are written without.
    An output may name its `classes`: an integer is the index of one, and floats are a score for each.
    """

    name: str
    datatype: str
    shape: list[int]
    allows_missing: bool = False
    classes: list[str] = field(default_factory=list)


class Token(Shape, frozen=True, kw_only=True):
    """A token without what makes it one."""

    id: str
    expires_at: str | None
    is_revoked: bool


class TokenBucket(Shape, frozen=True, kw_only=True):
    """One span of time of one deployment.

    `first_token_ms` and `token_ms` are of streams alone, null where there was none. `finish_reasons` counts the calls
    by how they ended; `disconnected` are those whose caller left.
    """

    bucket_ms: int
    deployment_id: str
    version_id: str
    calls: int
    streams: int
    tokens_in: int
    tokens_out: int
    first_token_ms: Quantiles | None
    token_ms: Quantiles | None
    finish_reasons: dict[str, int]


class TrafficApplied(Shape, frozen=True, kw_only=True):
    """A gateway of a region serves the epoch: Envoy acknowledged it, and a probe request saw it.

    `gateway_id` is the `log_id` of the gateway's batches of request records. In events of earlier releases it is the id
    of one run of Envoy, and the first gateway of a region spoke for all of them.
    """

    epoch: int
    region: str
    gateway_id: str
    applied_at: str


class Verdict(Shape, frozen=True, kw_only=True):
    """A gate's answer, with its reason and all that it rests on.

    `subject` is what was compared, counted in `unit`. `estimate`, `lower` and `upper` bound candidate share bad minus
    baseline share bad, at level 1 - `alpha`, valid at any time; at most `max_difference` is allowed, and a pass needs
    `min_trials` on both sides. Where `worse` is `below`, as with accuracy, people read the share of good ones, 1 - bad.
    `without_regions` are those that it did not wait for. A gate that `is_passed_over` did not have enough data at the
    end of its step, and the plan says to go on without it. Earlier events have the figures in `reason` alone.
    """

    gate: str
    outcome: str
    reason: str
    estimate: float | None
    lower: float | None
    upper: float | None
    alpha: float
    subject: str | None = None
    unit: str | None = None
    worse: str = "above"
    candidate: Counts | None = None
    baseline: Counts | None = None
    max_difference: float | None = None
    min_trials: int | None = None
    without_regions: list[str] = field(default_factory=list)
    is_passed_over: bool = False


class VersionReference(Shape, frozen=True, kw_only=True):
    """A version as people name it (`model_name/number`) and by its id."""

    version_id: str
    model_name: str
    number: int


class Watermark(Shape, frozen=True, kw_only=True):
    """Every row that ended at or before `watermark_ms` is in the view; None when no source was ever seen.

    That is but for regions that served the epoch in question and are silent for more than 15 minutes: they keep the
    view late, and rows of the others are counted on.

    `lag_ms` is how far that is behind now, or a source ahead of it, whichever is more: what a clock that is ahead has
    stamped is not counted until the others get there, and nobody can tell how far it is behind. `missing` says of the
    sources that are waited for, of which regions they are and since when. `silent_regions` are those that served the
    endpoint and have gone silent, excused or not.
    """

    watermark_ms: int | None
    freshness: str
    lag_ms: int | None
    waiting_for: list[str] = field(default_factory=list)
    missing: list[MissingSource] = field(default_factory=list)
    silent_regions: list[SilentRegion] = field(default_factory=list)


class Workspace(Shape, frozen=True, kw_only=True):
    """A workspace as administrators see it; the home workspace has no time of creation."""

    name: str
    description: str
    is_home: bool
    created_at: str | None
    closed_at: str | None
    position: int = 0


class WorkspaceFeedback(Shape, frozen=True, kw_only=True):
    """By name and source. Predictions after the watermark of requests are no orphans yet."""

    items: list[FeedbackOfSource]
    watermark: Watermark


class WorkspacePage(Shape, frozen=True, kw_only=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Workspace]
    next: str | None = None


Gate: TypeAlias = (
    ErrorRateGate
    | CallerErrorRateGate
    | LatencyGate
    | QualityGate
    | LossGate
    | RatingGate
    | FirstTokenGate
    | BetweenTokensGate
    | TruncationGate
    | AnswerTokensGate
)


class Canary(CanaryShape, frozen=True, kw_only=True):
    """Raise the candidate's weight step by step; the last step is 100 % and is followed by the bake time."""

    steps: list[CanaryStep]
    bake_time_ms: int
    kind: Literal["canary"] = "canary"


class GoldenBody(Shape, frozen=True, kw_only=True):
    """An input, and what a correct instance answers to it; numbers are compared within `tolerance`."""

    inputs: list[GoldenInputBody]
    outputs: Annotated[dict[str, list[bool | int | float | str]], Meta(min_length=1)]
    tolerance: float = 1e-06


class SignatureBody(Shape, frozen=True, kw_only=True):
    """What the version takes and gives; what is left out is read from the file, if the file states it."""

    inputs: list[TensorBody] | None = None
    outputs: list[TensorBody] | None = None


class Allocation(Shape, frozen=True, kw_only=True):
    """The share of an endpoint's buckets that one deployment serves. All ranges of an endpoint tile 0–10,000."""

    deployment_id: str
    weight_percent: float
    ranges: list[BucketRange]


class Batch(Shape, frozen=True, kw_only=True):
    """A batch as callers see it; `requests` is known once the input was found good, counts at the end."""

    id: str
    workspace: str
    endpoint: str
    scopes: list[str]
    phase: str
    owner_id: str
    input: BatchInput
    requests: int | None
    completed: int | None
    failed: int | None
    not_asked: int | None
    output: BatchFile | None
    errors: BatchFile | None
    problems: list[BatchProblem]
    cancelled_because: str | None
    created_at: str
    expires_at: str
    ended_at: str | None
    position: int = 0


class BatchPage(Shape, frozen=True, kw_only=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Batch]
    next: str | None = None


class Comparisons(Shape, frozen=True, kw_only=True):
    """The watermark is that of requests and observations: what ended after it may not be there yet."""

    items: list[Comparison]
    pairs: list[Pair]
    watermark: Watermark


class Deployment(Shape, frozen=True, kw_only=True):
    """A deployment as callers see it; `version` is `model/number`.

    `failure` says what its last instance failed of, as long as fewer are ready than there should be.
    """

    id: str
    version: str
    version_id: str
    replicas: int
    weight_percent: float
    state: str
    instances: list[Instance]
    regions: list[str] = field(default_factory=list)
    failure: str | None = None
    position: int = 0


class Endpoint(Shape, frozen=True, kw_only=True):
    """An endpoint as callers see it."""

    id: str
    name: str
    description: str
    created_at: str
    stream_version: int
    epoch: int | None
    allocations: list[Allocation]
    applied: list[TrafficApplied]
    active_rollout_id: str | None
    deployments: list[Deployment]
    shadow: ShadowSet | None = None
    assigned_by: AssignmentKey = field(
        default_factory=lambda: convert({"header": "x-rollbook-key", "claim": None}, type=AssignmentKey)
    )
    capture: CapturePolicy = field(
        default_factory=lambda: convert(
            {
                "inputs": None,
                "outputs": None,
                "sampling_rate": 1.0,
                "hashed": [],
                "max_values": 4096,
                "max_bytes": 32768,
                "prediction": True,
                "retention_days": 7,
            },
            type=CapturePolicy,
        )
    )
    capture_version: int = 0
    scaling: ScalingPolicy | None = None
    failover: FailoverPolicy = field(
        default_factory=lambda: convert(
            {
                "backup_deployment_id": None,
                "backup_regions": None,
                "max_retries": None,
                "per_try_timeout_ms": None,
                "retry_budget_percent": 50.0,
                "retries_at_once": 64,
                "max_connections": 1024,
                "max_pending": 1024,
                "max_requests": 1024,
            },
            type=FailoverPolicy,
        )
    )
    failovers: list[FailoverStarted] = field(default_factory=list)
    regions: list[ServingRegion] = field(default_factory=list)
    position: int = 0


class EndpointFeedback(Shape, frozen=True, kw_only=True):
    """By name. The watermark is that of requests and observations; feedback may always come later."""

    items: list[FeedbackOnEndpoint]
    watermark: Watermark


class EndpointPage(Shape, frozen=True, kw_only=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Endpoint]
    next: str | None = None


class FeatureSummaries(Shape, frozen=True, kw_only=True):
    """In the order of windows, deployments and features. A window that ends after the watermark may still grow.

    What was captured is summarised: the capture policy may take a sample, or leave out tensors. The feature `status`
    counts the requests by HTTP status; the others are of those with 200.
    """

    items: list[FeatureSummary]
    watermark: Watermark


class Feed(Shape, frozen=True, kw_only=True):
    """Events in order; `head` is the log's last position, `read_until` that up to which the filter has looked.

    A caller goes on after `read_until`, also where `items` is empty.
    """

    items: list[LogEntry]
    head: int
    read_until: int


class GoldenExample(Shape, frozen=True, kw_only=True):
    """An input, and what a correct instance answers to it.

    `outputs` maps an output's name to its flattened values; numbers are compared within `tolerance`.
    """

    inputs: list[GoldenInput]
    outputs: dict[str, list[bool | int | float | str]]
    tolerance: float = 1e-06


class KeptMeasurement(Shape, frozen=True, kw_only=True):
    """A measurement, and when it came."""

    received_at_ms: int
    measurement: LoadMeasurement


class KeySet(Shape, frozen=True, kw_only=True):
    """A JSON Web Key Set, and what is refused whatever its signature says, which one that `is_public` leaves out."""

    keys: list[PublicKey]
    workspace: str = "default"
    version: int = 0
    revoked_subjects: list[str] = field(default_factory=list)
    revoked_tokens: list[str] = field(default_factory=list)
    revoked_principals: list[RevokedPrincipal] = field(default_factory=list)
    is_public: bool = False


class Keyring(Shape, frozen=True, kw_only=True):
    """The keys that count, in the order in which they sign, and how many revocations do."""

    keys: list[SigningKey]
    revocations: int
    position: int = 0


class Lookup(Shape, frozen=True, kw_only=True):
    """What served each prediction that is known, in the order asked; `events` by `<endpoint id>/<epoch>`."""

    items: list[Served]
    unknown: list[str]
    events: dict[str, RoutedBy]


class Measured(Shape, frozen=True, kw_only=True):
    """The arms by deployment id, over every primary request that ended at or before the watermark.

    `gateways` are the `log_id`s of the gateways that are alive: whose records any endpoint would still wait for.
    """

    watermark_ms: int | None
    freshness: str
    lag_ms: int | None
    arms: dict[str, Arm]
    waiting_for: list[str] = field(default_factory=list)
    missing: list[MissingSource] = field(default_factory=list)
    silent_regions: list[SilentRegion] = field(default_factory=list)
    gateways: list[str] = field(default_factory=list)


class MeasuredResult(Shape, frozen=True, kw_only=True):
    """What became of one item: its answer, or its own problem, which fails no other."""

    answer: Measured | None = None
    problem: ItemProblem | None = None


class MeasuredResults(Shape, frozen=True, kw_only=True):
    """A result for each item, in the order in which they were sent."""

    items: list[MeasuredResult]


class Metrics(Shape, frozen=True, kw_only=True):
    """Buckets in order of time, the first one whole. Those after the watermark may still grow.

    Durations have a resolution of 0.8 %. Buckets of whole minutes reach back for as long as roll-ups are kept, others
    for as long as records of requests are.
    """

    items: list[Bucket]
    watermark: Watermark


class Monitor(Shape, frozen=True, kw_only=True):
    """A monitor: what it watches, and what it found last.

    While it is `learning`, its reference is not fixed. The evidence is that of the windows from `since_ms` on, without
    those of the deployments in `left_out`; it began with the event at `begun_at_version` of the stream.
    `judged_until_ms` is the end of the last window of the look that made the answer, 0 before the first. `outcome` and
    `findings` are of that look; a drift stays the answer until someone acknowledges it.
    """

    name: str
    phase: str
    endpoint_id: str
    endpoint_name: str
    terms: MonitorTerms
    stretch: ReferenceStretch
    reference: ReferenceFixed | None
    since_ms: int
    begun_at_version: int
    left_out: list[str]
    judged_until_ms: int
    outcome: str | None
    reason: str
    judged_at: str | None
    findings: list[Finding]
    id: str = ""
    workspace: str = ""
    created_at: str = ""
    stream_version: int = 0
    position: int = 0


class MonitorPage(Shape, frozen=True, kw_only=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Monitor]
    next: str | None = None


class Principal(Shape, frozen=True, kw_only=True):
    """A principal as admins see it; name and e-mail are null once erased."""

    id: str
    kind: str
    role: str
    is_erased: bool
    created_at: str
    name: str | None
    email: str | None
    tokens: list[Token]
    duty: str | None = None


class PrincipalPage(Shape, frozen=True, kw_only=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Principal]
    next: str | None = None


class Quality(Shape, frozen=True, kw_only=True):
    """Buckets in order of time. The watermark is that of requests and observations; feedback may always come later.

    Buckets of whole minutes reach back for as long as roll-ups are kept, others for as long as captured answers are.
    """

    items: list[QualityBucket]
    watermark: Watermark


class ResourcesOverTime(Shape, frozen=True, kw_only=True):
    """Buckets in order of time: means of gauges, and rates of counters by second. The last one may still grow."""

    items: list[Resources]
    watermark: Watermark


class Rollout(RolloutShape, frozen=True, kw_only=True):
    """A rollout; `step` counts from 0, `weight_percent` is the candidate's, `verdicts` are those of the last decision.

    `epoch` names the endpoint's event that set the weight, None while the candidate is warmed. A gate may pass on
    records that lag by at most `max_lag_ms`. `held_by` are the regions that the step waits for, once it has waited for
    `region_grace_ms`; `excused` are those that it does not wait for. Without settings of their own, `when_late`,
    `when_no_data` and `when_too_little_data` are as `when_inconclusive`.
    """

    phase: str
    step: int | None
    epoch: int | None
    verdicts: list[Verdict]
    reason: str
    stream_version: int
    id: str
    endpoint_id: str
    endpoint_name: str
    weight_percent: float
    candidate_deployment_id: str
    candidate: VersionReference
    baseline_deployment_id: str
    baseline: VersionReference
    replicas: int
    strategy: dict[str, Any]
    gates: list[dict[str, Any]]
    alpha: float
    when_inconclusive: str
    warm_up_timeout_ms: int
    started_at: str
    step_started_at: str | None
    finished_at: str | None
    max_lag_ms: int = 5000
    allow_signature_change: bool = False
    when_region_away: str = "hold"
    region_grace_ms: int = 60000
    held_by: list[RegionAway] = field(default_factory=list)
    excused: list[RegionAway] = field(default_factory=list)
    when_late: str | None = None
    when_no_data: str | None = None
    when_too_little_data: str | None = None
    position: int = 0


class RolloutPage(Shape, frozen=True, kw_only=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Rollout]
    next: str | None = None


class Signature(Shape, frozen=True, kw_only=True):
    """What a version takes and gives."""

    inputs: list[Tensor]
    outputs: list[Tensor]


class TimelineItem(Shape, frozen=True, kw_only=True):
    """One fact; a decision has the verdicts of its gates."""

    summary: str
    at: str
    position: int
    stream: str
    stream_version: int
    type: str
    verdicts: list[Verdict]
    step: int | None = None
    weight_percent: float | None = None
    epoch: int | None = None
    reason: str = ""


class Tokens(Shape, frozen=True, kw_only=True):
    """Buckets in order of time. Those after the watermark may still grow; calls that no policy captured are not in."""

    items: list[TokenBucket]
    watermark: Watermark


class Version(VersionShape, frozen=True, kw_only=True):
    """A version of a model; `inferred` names the sides of its signature that were read from its file."""

    id: str
    model_id: str
    model_name: str
    number: int
    artifact: Artifact
    signature: Signature
    golden: GoldenExample | None
    parameters: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    created_at: str
    inferred: list[str] = field(default_factory=list)
    position: int = 0


class VersionPage(Shape, frozen=True, kw_only=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Version]
    next: str | None = None


class DeploymentScaling(Shape, frozen=True, kw_only=True):
    """How many replicas a deployment has, and what the policy makes of the last measurement.

    `measured` and `code` are null while nothing was measured since the API started.
    """

    deployment_id: str
    replicas: int
    ready: int
    changed_at_ms: int
    scaling_version: int
    measured: KeptMeasurement | None
    code: str | None
    wanted_replicas: int
    reason: str


class EndpointScaling(Shape, frozen=True, kw_only=True):
    """The policy of an endpoint, and why its deployments have the replicas that they have."""

    endpoint_id: str
    policy: ScalingPolicy | None
    policy_version: int
    deployments: list[DeploymentScaling]
    position: int = 0


class Timeline(Shape, frozen=True, kw_only=True):
    """The facts in the order of the log, and the position up to which they are complete."""

    items: list[TimelineItem]
    position: int
