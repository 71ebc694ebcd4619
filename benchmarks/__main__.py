"""`python -m benchmarks`: measures what the requirements put numbers on, and shows the machine's noise beside it."""

import argparse
import logging
import signal
import sys
import time
from pathlib import Path

import msgspec
import structlog

from benchmarks.figures import Figure, line_of
from benchmarks.machine import Noise, noise
from benchmarks.scenarios import SCENARIOS, Scenario

_INTERRUPTED = 130


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with the noise right before and right after it."""

    figure: Figure
    outcome: str
    before: Noise
    after: Noise


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario's figures, as `--json` writes them."""

    scenario: str
    full: bool
    load_at_start: float
    seconds: float
    figures: list[Measured]


def main(arguments: list[str] | None = None) -> int:
    """Measure; the exit code is 1 when a goal is missed."""
    options = _parse(arguments)
    if options.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:<20} {scenario.title}")
        return 0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    # An end from outside passes through the context managers too, so that no stack outlives us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = [_run(name, SCENARIOS[name], full=options.full) for name in options.scenario or SCENARIOS]
    except KeyboardInterrupt:
        return _INTERRUPTED
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    return _summary(results)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", help="what to measure; everything by default")
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    parser.add_argument("--full", action="store_true", help="as many samples as the goals ask for")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.scenario if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    return options


def _run(name: str, scenario: Scenario, *, full: bool) -> Result:
    before, began = noise(), time.monotonic()
    load_at_start, measured = before.load, []
    print(f"\n{name}: {scenario.title}\n  machine       {before}", flush=True)
    for figures in scenario.measure(full=full):
        after = noise()
        for figure in figures:
            print(line_of(figure), flush=True)
            measured.append(Measured(figure=figure, outcome=figure.outcome, before=before, after=after))
        print(f"  machine       {after}", flush=True)
        before = after
    seconds = time.monotonic() - began
    print(f"  took {seconds:.0f} s")
    return Result(scenario=name, full=full, load_at_start=load_at_start, seconds=seconds, figures=measured)


def _summary(results: list[Result]) -> int:
    judged = [one for result in results for one in result.figures if one.outcome]
    missed = [one.figure.name for one in judged if one.outcome != "met"]
    print(
        f"\n{len(judged) - len(missed)} of {len(judged)} goals met" + "".join(f"\n  missed: {name}" for name in missed)
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
