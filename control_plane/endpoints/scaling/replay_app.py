"""The program `scaling-replay`: what another policy would have done with recorded looks."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from control_plane.endpoints.scaling.decisions import require_valid_policy
from control_plane.endpoints.scaling.replay import replay
from control_plane.errors import Invalid
from control_plane.web.bodies import decode_body
from schemas.scaling import LoadSample, ScalingPolicy

_WRONG_INPUT = 2


class _Look(msgspec.Struct):
    deployment_id: str
    sample: LoadSample


def main(argv: list[str] | None = None) -> int:
    """Replay, and print the answer as JSON."""
    arguments = _parser().parse_args(argv)
    try:
        policy = decode_body(arguments.policy.read_bytes(), ScalingPolicy)
        require_valid_policy(policy)
        samples = sorted(_samples(arguments.looks, arguments.deployment), key=lambda each: each.at_ms)
    except Invalid as error:
        sys.stderr.write(f"{arguments.policy}: {error.detail}; {error.remedy}\n")
        return _WRONG_INPUT
    except (OSError, msgspec.DecodeError) as error:
        sys.stderr.write(f"{error}\n")
        return _WRONG_INPUT
    if not samples:
        sys.stderr.write(
            f"no measurement of {arguments.deployment} is recorded there; `rollbook scaling show` lists ids\n"
        )
        return _WRONG_INPUT
    answer = replay(policy, samples, replicas=arguments.replicas)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer)).decode() + "\n")
    return 0


def _samples(paths: Iterable[Path], deployment_id: str) -> Iterator[LoadSample]:
    decoder = msgspec.json.Decoder(_Look)
    for path in paths:
        with path.open("rb") as lines:
            for line in lines:
                look = decoder.decode(line)
                if look.deployment_id == deployment_id:
                    yield look.sample


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scaling-replay", description=__doc__)
    parser.add_argument("--policy", type=Path, required=True, help="a scaling policy as JSON")
    parser.add_argument("--deployment", required=True, help="the deployment whose measurements to replay")
    parser.add_argument("--replicas", type=int, default=1, help="how many it has at the start")
    parser.add_argument("looks", type=Path, nargs="+", help="files written by the autoscaler")
    return parser
