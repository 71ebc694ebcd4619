"""Evaluation runs: how likely a text that no version has learned from is to each version of an endpoint.

Passages go through the gateway, so that what is measured is what serves. The endpoint is asked for the likelihood of a
passage's own tokens (`echo` with `logprobs`); the loss is the mean of their negative natural logarithms. Sent as
feedback, it is what a rollout's `loss` gate judges by.
"""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from rollbook._sync.client import Rollbook
from rollbook.errors import GaveUp, RollbookError
from rollbook.patient_gateway import PatientGateway, Refused, TooLarge
from rollbook.side_by_side import work_on_each

SOURCE = "evaluation"
_PATH = "/v1/completions"
_ENOUGH_TO_SEND = 20
_OBJECTS = (".jsonl", ".ndjson")
_VERSION, _PREDICTION_ID = "x-rollbook-version", "x-prediction-id"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask, and how.

    Without `versions` each passage goes to the endpoint, where the traffic decides which version answers: so it is
    evidence for a rollout under way. With some, given as `model/number`, each passage goes to each of them, traffic or
    not; such answers count in no step of a rollout. Each loss is sent as feedback of the name `feedback_name`; None
    sends nothing. An evaluation without any answer for `give_up_after_s` ends.
    """

    gateway: str
    endpoint: str
    versions: tuple[str, ...] = ()
    feedback_name: str | None = "loss"
    in_flight: int = 4
    give_up_after_s: float = 60.0


class ScoredPassage(msgspec.Struct, frozen=True, kw_only=True):
    """One passage by one version: `loss` in nats a token, over `tokens` of them."""

    version: str
    prediction_id: str
    tokens: int
    loss: float


class VersionLoss(msgspec.Struct, kw_only=True):
    """What a version makes of a text.

    `loss` is in nats a token, over all tokens; `perplexity` is its exponential. `bits_per_byte` (of UTF-8) compares
    models with different tokenizers too. `refused` passages were not scored, for `reason` the first time.
    """

    version: str
    passages: int = 0
    tokens: int = 0
    loss: float | None = None
    perplexity: float | None = None
    bits_per_byte: float | None = None
    refused: int = 0
    reason: str | None = None


class NotScored(RollbookError):
    """The endpoint can't be evaluated; the message says why."""


class EvaluationCutShort(RollbookError):
    """An evaluation ended before its time, or not all of its feedback was taken; `losses` is what was measured."""

    def __init__(self, reason: str, losses: list[VersionLoss]) -> None:
        super().__init__(reason)
        self.losses = losses


def read_passages(path: Path) -> list[str]:
    """Return the passages of a file: `text` of each object in a `.jsonl` file, each line of another that is not empty.

    Raises:
        NotScored: there are none, or the file is no text.
    """
    try:
        # Other marks than these may stand inside JSON, and inside a passage.
        lines = [line.rstrip("\r") for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
        is_jsonl = path.suffix.lower() in _OBJECTS
        passages = [msgspec.json.decode(line, type=_Passage).text for line in lines] if is_jsonl else lines
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise NotScored(f"{path} can't be read: {error}") from error
    passages = [passage for passage in passages if passage.strip()]
    if not passages:
        raise NotScored(f"{path} holds no passage: write one a line, or objects with `text` into a .jsonl file")
    return passages


def evaluate(
    rollbook: Rollbook,
    passages: Sequence[str],
    evaluation: Evaluation,
    *,
    tell: Callable[[ScoredPassage], None] = lambda _scored: None,
) -> list[VersionLoss]:
    """Score every passage; `tell` hears of each.

    A passage that is refused, such as one longer than the context, is counted and left out; where no version was named,
    under the endpoint's name.

    Raises:
        NotScored: the endpoint has no such version, or no passage could be scored.
        EvaluationCutShort: the gateway gave no answer for long or refuses all, or the API did not take the feedback.
        RollbookError: the API gave no answer at the start, or refused.
    """
    run = _Run(rollbook, evaluation, tell)
    try:
        _run(run.score_all(passages))
    except GaveUp as error:
        raise EvaluationCutShort(str(error), run.measured()) from error
    losses = run.measured()
    if not any(each.passages for each in losses):
        reason = next((each.reason for each in losses if each.reason), "nothing was asked")
        raise NotScored(f"{evaluation.endpoint} scored no passage: {reason}")
    if run.unsent:
        raise EvaluationCutShort(f"{run.unsent} losses were not taken as feedback: {run.feedback_error}", losses)
    return losses


def _run(job: Coroutine[None, None, None]) -> None:
    """Run to the end, in a thread of its own where this one has a loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(job)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, job).result()


class _Passage(msgspec.Struct, frozen=True):
    text: str


class _Logprobs(msgspec.Struct, frozen=True):
    token_logprobs: list[float | None]
    tokens: list[str] = []


class _Choice(msgspec.Struct, frozen=True):
    logprobs: _Logprobs


class _Usage(msgspec.Struct, frozen=True):
    completion_tokens: int


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice]
    usage: _Usage


def scores_of(answer: bytes) -> tuple[list[float], str]:
    """Return the natural logarithms of the likelihoods of a passage's tokens, and the first token, which has none.

    Raises:
        ValueError: the answer does not score every token.
    """
    try:
        completion = msgspec.json.decode(answer, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"it tells no likelihoods: {error}") from error
    if not completion.choices:
        raise ValueError("it tells no likelihoods: it has no choice")
    told, tokens = completion.choices[0].logprobs.token_logprobs, completion.choices[0].logprobs.tokens
    # The last ones were written by the model, not asked about.
    asked = told[1 : len(told) - completion.usage.completion_tokens]
    scores = [one for one in asked if one is not None and math.isfinite(one)]
    if not asked or len(scores) < len(asked):
        raise ValueError("it does not score every token of the passage")
    return scores, next(iter(tokens), "")


class _Run:
    def __init__(self, rollbook: Rollbook, evaluation: Evaluation, tell: Callable[[ScoredPassage], None]) -> None:
        self._rollbook = rollbook
        self._evaluation = evaluation
        self._tell = tell
        self._unsent: list[ScoredPassage] = []
        self.feedback_error: RollbookError | None = None
        self._models = _models(rollbook, evaluation)
        self.losses: dict[str, VersionLoss] = {}
        self._nats: defaultdict[str, float] = defaultdict(float)
        self._bytes: Counter[str] = Counter()

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    def measured(self) -> list[VersionLoss]:
        return [self.losses[version] for version in sorted(self.losses)]

    async def score_all(self, passages: Sequence[str]) -> None:
        endpoint = self._evaluation.endpoint
        gateway = PatientGateway(
            self._evaluation.gateway,
            endpoint,
            mint=lambda: self._rollbook.inference_tokens.mint([endpoint]).token,
            give_up_after_s=self._evaluation.give_up_after_s,
        )

        async def score(passage: str) -> None:
            # One after the other, so that the versions are judged by the same passages at any moment.
            for version, model in self._models.items():
                await self._score(gateway, version, model, passage)
            await self._send(at_least=_ENOUGH_TO_SEND)

        try:
            await work_on_each(passages, score, at_once=self._evaluation.in_flight)
        finally:
            await gateway.close()
            await self._send(at_least=1)

    async def _score(self, gateway: PatientGateway, asked: str, model: str, passage: str) -> None:
        body = {
            "model": model,
            "prompt": passage,
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 0,
        }
        try:
            answer = await gateway.ask("POST", _PATH, json=body)
            scores, first = scores_of(answer.content)
        except (Refused, TooLarge, ValueError) as error:
            refused = self._of(asked)
            refused.refused += 1
            refused.reason = refused.reason or str(error)
            return
        if not answer.headers.keys() >= {_VERSION, _PREDICTION_ID}:
            raise NotScored(
                f"{self._evaluation.gateway} is no gateway of Rollbook: its answer does not say who gave it"
            )
        version = answer.headers[_VERSION]
        loss = self._of(version)
        nats = -sum(scores)
        self._nats[version] += nats
        loss.passages += 1
        loss.tokens += len(scores)
        loss.loss = self._nats[version] / loss.tokens
        loss.perplexity = math.exp(min(loss.loss, 700.0))
        # A token that marks the beginning is no part of the passage; another first one is, and has no score.
        self._bytes[version] += len(passage.removeprefix(first).encode())
        bits, size = self._nats[version] / math.log(2), self._bytes[version]
        loss.bits_per_byte = bits / size if size else None
        scored = ScoredPassage(
            version=version,
            prediction_id=answer.headers[_PREDICTION_ID],
            tokens=len(scores),
            loss=nats / len(scores),
        )
        if self._evaluation.feedback_name is not None:
            self._unsent.append(scored)
        self._tell(scored)

    def _of(self, version: str) -> VersionLoss:
        return self.losses.setdefault(version, VersionLoss(version=version))

    async def _send(self, *, at_least: int) -> None:
        name = self._evaluation.feedback_name
        if name is None or len(self._unsent) < at_least:
            return
        unsent, self._unsent = self._unsent, []
        items = [
            {"prediction_id": each.prediction_id, "name": name, "value": each.loss, "source": SOURCE} for each in unsent
        ]
        try:
            await asyncio.to_thread(self._rollbook.feedback.send, items)
        except RollbookError as error:
            # What was measured is not lost with it: it is sent with the next.
            self._unsent = [*unsent, *self._unsent]
            self.feedback_error = error


def _models(rollbook: Rollbook, evaluation: Evaluation) -> dict[str, str]:
    """Return the models to ask for, by the version that is to answer, or the endpoint's name where any may."""
    endpoint = evaluation.endpoint
    if not evaluation.versions:
        return {endpoint: endpoint}
    has = dict.fromkeys(each.version for each in rollbook.endpoints.get(endpoint).deployments)
    for version in evaluation.versions:
        if version not in has:
            raise NotScored(f"{endpoint} has no deployment of {version}; it has {', '.join(has) or 'none at all'}")
    return {version: f"{endpoint}@{version.rpartition('/')[2]}" for version in evaluation.versions}
