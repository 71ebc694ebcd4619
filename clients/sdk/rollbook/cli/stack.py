"""`rollbook up`, `down`, `status`, `logs`, `run`, `audit`, `doctor`, `demo`: the server's programs, by entry point."""

import os
import re
import signal
import subprocess
import sys
import time

import click
import httpx
import msgspec

from rollbook import RollbookError
from rollbook.cli.options import Number
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.local_stack import (
    Program,
    StackStatus,
    program_command,
    start_supervisor,
    stop,
    wait_until_ready,
)

_POLL_S = 0.1
_METRICS_TIMEOUT_S = 2.0
_FAILING = re.compile(r'^rollbook_background_failing\{work="([^"]*)"\} 1\.0$', re.MULTILINE)
_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def run_program(name: str, arguments: list[str]) -> int:
    """Run a program in the foreground and return its exit code; Ctrl-C goes to the program, which ends in order."""
    process = subprocess.Popen(program_command(name, *arguments))
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, previous)


@click.command()
@click.option("--detach", is_flag=True, help="Return when the stack is ready; stop it with `rollbook down`.")
@click.option(
    "--timeout",
    "timeout_s",
    type=Number(min=0),
    default=120.0,
    show_default=True,
    help="Wait at most this many seconds until ready.",
)
@click.option(
    "--regions",
    metavar="REGION,…",
    help="Run these regions on this machine, each with its own gateway and agent; the first is home; kept for later.",
)
@pass_profile
def up(profile: Profile, *, detach: bool, timeout_s: float, regions: str | None) -> None:
    """Start the whole stack on this machine: Kafka, ClickHouse, API, gateway, workers."""
    supervisor = start_supervisor(profile.data_dir, in_new_session=detach, regions=regions)
    try:
        status = wait_until_ready(profile.stack, supervisor, timeout_s=timeout_s)
        _print_addresses(profile, status)
        if not detach:
            sys.exit(supervisor.wait())
    except KeyboardInterrupt:
        stop(supervisor)
    except RollbookError:
        stop(supervisor)
        raise


def _print_addresses(profile: Profile, status: StackStatus) -> None:
    for program in status.programs:
        for address in program.addresses:
            click.echo(f"{program.name:<12} {address}")
    click.echo(f"{'token':<12} {profile.data_dir / 'secrets' / 'admin.token'}")


@click.command()
@click.option("--timeout", "timeout_s", type=Number(min=0), default=60.0, show_default=True, help="Seconds.")
@pass_profile
def down(profile: Profile, timeout_s: float) -> None:
    """Stop the stack of the data directory."""
    pid = profile.stack.running_pid()
    if pid is None:
        raise RollbookError(f"No stack runs in {profile.data_dir}.")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while profile.stack.running_pid() == pid:
        if time.monotonic() > deadline:
            raise RollbookError(f"The supervisor (pid {pid}) did not stop within {timeout_s:g} s.")
        time.sleep(_POLL_S)


@click.command("status")
@pass_profile
def stack_status(profile: Profile) -> None:
    """Show each program of the stack: pid, state, addresses, restarts and failures of the last minute."""
    status = profile.status()
    if status is None:
        raise RollbookError(f"No stack was ever started in {profile.data_dir}.")
    if profile.stack.running_pid() == status.pid:
        programs = tuple(map(_with_failing_work, status.programs))
        status = msgspec.structs.replace(status, programs=programs)
    else:
        status = msgspec.structs.replace(status, state="down", programs=())
    if profile.as_json:
        show(profile, status)
        return
    click.echo(f"{status.state}  (supervisor pid {status.pid}, data in {profile.data_dir})")
    if status.programs:
        show(
            profile,
            list(status.programs),
            columns=("name", "region", "state", "pid", "restarts", "failing", "addresses"),
        )


def _with_failing_work(program: Program) -> Program:
    if program.metrics is None or program.state != "ready":
        return program
    try:
        text = httpx.get(program.metrics, timeout=_METRICS_TIMEOUT_S, trust_env=False).text
    except httpx.HTTPError:
        return msgspec.structs.replace(program, failing=("metrics",))
    return msgspec.structs.replace(program, failing=tuple(_FAILING.findall(text)))


@click.command()
@click.argument("program")
@click.option("--lines", type=click.IntRange(min=1), default=50, show_default=True)
@pass_profile
def logs(profile: Profile, program: str, lines: int) -> None:
    """Print the last lines of a program's log."""
    path = profile.data_dir / "logs" / f"{program}.log"
    if not path.exists():
        known = sorted(log.stem for log in path.parent.glob("*.log"))
        raise RollbookError(f"No log of {program!r} in {path.parent}; there are: {', '.join(known) or 'none'}.")
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
        click.echo(line)


@click.command("run", context_settings=_PASS_ON)
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(program: str, arguments: tuple[str, ...]) -> None:
    """Run one PROGRAM of the server in the foreground; its settings come from the environment."""
    sys.exit(run_program(program, list(arguments)))


@click.command("demo", context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Run the demo: one canary promoted, one rolled back; `rollbook demo --help` lists its options."""
    sys.exit(run_program("demo", list(arguments)))


@click.command("doctor", context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_profile
def doctor(profile: Profile, arguments: tuple[str, ...]) -> None:
    """Say what protects this host's secrets and engines; exit with 1 if something is missing."""
    sys.exit(run_program("doctor", ["--data-dir", str(profile.data_dir), *arguments]))


@click.group("audit")
def audit() -> None:
    """Verify the log."""


@audit.command("verify", context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_profile
def verify(profile: Profile, arguments: tuple[str, ...]) -> None:
    """Recompute the Merkle root from the store (and with --topic from Kafka) and check the signed checkpoint."""
    sys.exit(run_program("audit", ["verify", "--data-dir", str(profile.data_dir), *arguments]))
