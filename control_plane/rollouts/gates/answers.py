"""The gates on what language models answer: when tokens come, how many, and whether an answer was cut off.

All of them judge the answers that the endpoint's capture policy keeps; one that keeps nothing leaves them without data.
"""

from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import Problem, Terms, duration_problems, increase_problems, increase_terms
from schemas.events.rollouts import AnswerTokensGate, BetweenTokensGate, FirstTokenGate, TruncationGate


class FirstTokenRule(msgspec.Struct, frozen=True):
    """The share of streams that begin late may exceed the concurrent baseline's by a limit at most."""

    kind: ClassVar[str] = "first_token"
    compares_over_time: ClassVar[bool] = False
    gate: FirstTokenGate

    def problems(self) -> tuple[Problem, ...]:
        return (*duration_problems("threshold_ms", self.gate.threshold_ms), *increase_problems(self.gate))

    def terms(self) -> Terms:
        subject = f"first tokens after {self.gate.threshold_ms:g} ms"
        return increase_terms(self.kind, self.gate, subject, unit="streams")


class BetweenTokensRule(msgspec.Struct, frozen=True):
    """The share of slow streams may exceed the concurrent baseline's by a limit at most."""

    kind: ClassVar[str] = "between_tokens"
    compares_over_time: ClassVar[bool] = False
    gate: BetweenTokensGate

    def problems(self) -> tuple[Problem, ...]:
        return (*duration_problems("threshold_ms", self.gate.threshold_ms), *increase_problems(self.gate))

    def terms(self) -> Terms:
        subject = f"streams with over {self.gate.threshold_ms:g} ms between tokens"
        return increase_terms(self.kind, self.gate, subject, unit="streams")


class TruncationRule(msgspec.Struct, frozen=True):
    """The share of answers that were cut off may exceed the concurrent baseline's by a limit at most."""

    kind: ClassVar[str] = "truncation"
    compares_over_time: ClassVar[bool] = False
    gate: TruncationGate

    def problems(self) -> tuple[Problem, ...]:
        return increase_problems(self.gate)

    def terms(self) -> Terms:
        return increase_terms(self.kind, self.gate, "answers cut off at the token limit", unit="answers")


class AnswerTokensRule(msgspec.Struct, frozen=True):
    """The share of long answers may exceed the concurrent baseline's by a limit at most."""

    kind: ClassVar[str] = "answer_tokens"
    compares_over_time: ClassVar[bool] = False
    gate: AnswerTokensGate

    def problems(self) -> tuple[Problem, ...]:
        wrong = Problem("threshold", f"{self.gate.threshold} is not a number of tokens", "give a whole number above 0")
        return (*(() if self.gate.threshold > 0 else (wrong,)), *increase_problems(self.gate))

    def terms(self) -> Terms:
        subject = f"answers over {self.gate.threshold:,} tokens"
        return increase_terms(self.kind, self.gate, subject, unit="answers")
