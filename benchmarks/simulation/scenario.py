"""How often sound candidates are aborted, and what bad ones answer before they are stopped, beside others' rules.

Each rollout is drawn from its kind, its number and a fixed seed: every run gives the same figures.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from statistics import mean

from benchmarks.figures import Figure, above, at_most, quantile
from benchmarks.simulation.kinds import ALPHA, BUSY, CLUSTERED, DILUTED, INDEPENDENT, QUIET, UNCHANGED, Comparison, Kind
from benchmarks.simulation.many import Simulated, minutes_of_steps, processes, simulate
from benchmarks.simulation.peers import OF_NO_CHANGE, OF_THE_LIMIT, Rule, calibrated, stopped

_COUNT, _FEWER = 80, 80
_COUNT_FULL, _FEWER_FULL = 10_000, 500
_PILOTS = 100


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Simulate sound rollouts, compare bad ones, and show what happens where outcomes cluster."""
    count, fewer = (_COUNT_FULL, _FEWER_FULL) if full else (_COUNT, _FEWER)
    with processes() as executor:
        yield [_wrongly_aborted(simulate(executor, kind, count)) for kind in UNCHANGED]
        yield compared(executor, BUSY, count)
        yield compared(executor, QUIET, fewer)
        yield [_aborted(executor, kind, fewer) for kind in CLUSTERED]
        yield _answered(simulate(executor, DILUTED, fewer))


def _wrongly_aborted(simulated: Simulated) -> Figure:
    return Figure(
        name=f"{simulated.kind.name}: aborted, at most",
        value=100 * simulated.aborted.upper,
        unit="%",
        goal=at_most(100 * ALPHA),
        note=_note(simulated),
    )


def _aborted(executor: Executor, kind: Kind, count: int) -> Figure:
    """Return how often rollouts of a kind are aborted; alpha is promised only where outcomes are independent."""
    simulated = simulate(executor, kind, count)
    if kind in INDEPENDENT:
        return _wrongly_aborted(simulated)
    share = 100 * simulated.ended_as("aborted") / count
    return Figure(name=f"{kind.name}: aborted", value=share, unit="%", note=_note(simulated))


def _note(simulated: Simulated) -> str:
    lower, upper = 100 * simulated.aborted.lower, 100 * simulated.aborted.upper
    return (
        f"{simulated.ended_as('aborted'):,} of {len(simulated.ended):,} aborted ({lower:.2f} to {upper:.2f} %), "
        f"{simulated.ended_as('paused'):,} paused, {simulated.ended_as('completed'):,} completed"
    )


def compared(executor: Executor, comparison: Comparison, count: int, *, pilots: int = _PILOTS) -> list[Figure]:
    """Compare what bad candidates answer under the product and under others' rules."""
    minutes = minutes_of_steps(executor, comparison.unchanged, pilots)
    unchanged, at_the_limit, *bad = (
        simulate(executor, kind, count, minutes=minutes)
        for kind in (comparison.unchanged, comparison.at_the_limit, *comparison.bad)
    )
    lasting = ", ".join(map(str, minutes))
    figures = [_wrongly_aborted(unchanged), _wrongly_aborted(at_the_limit)]
    figures.append(Figure(name="minutes of all steps", value=sum(minutes), unit="min", note=lasting))
    for simulated in bad:
        figures += _answered(simulated)
        figures += _others(simulated, unchanged, at_the_limit, OF_NO_CHANGE)
        figures += _others(simulated, at_the_limit, at_the_limit, OF_THE_LIMIT)
    return figures


def _answered(simulated: Simulated) -> list[Figure]:
    answered = [each.answered for each in simulated.ended]
    note = f"p50 {quantile(answered, 0.5):,}, p90 {quantile(answered, 0.9):,}; {_note(simulated)}"
    return [Figure(name=f"{simulated.kind.name}: answered", value=mean(answered), unit="requests", note=note)]


def _others(bad: Simulated, sound: Simulated, at_the_limit: Simulated, rules: Mapping[str, Rule]) -> Iterator[Figure]:
    """Say what bad candidates answer under rules that abort as many sound ones as the product does: more is met."""
    assert bad.seen is not None, "a comparison notes what others see"
    assert sound.seen is not None, "the same"
    assert at_the_limit.seen is not None, "the same"
    own = mean(each.answered for each in bad.ended)
    for name, rule in rules.items():
        thresholds = calibrated(rule, sound.seen, aborts=sound.ended_as("aborted"))
        result = stopped(rule, bad.seen, thresholds)
        answered = [float(each) for each in result.answered]
        kept = 100 * (1 - result.is_stopped.mean())
        wrongly = 100 * stopped(rule, at_the_limit.seen, thresholds).is_stopped.mean()
        yield Figure(
            name=f"… {name}, as {sound.kind.name}",
            value=mean(answered),
            unit="requests",
            goal=above(own),
            note=f"p50 {quantile(answered, 0.5):,.0f}, p90 {quantile(answered, 0.9):,.0f}; {kept:.1f} % kept; "
            f"aborts {wrongly:.1f} % of those at the limit",
        )
