"""The demo: one command shows a canary promoted and one rolled back, on real parts."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console

from rollbook import RollbookError
from rollbook.cli.profile import Profile
from rollbook.local_stack import StackStatus
from rollbook_demo.embedded_stack import running_stack
from rollbook_demo.evidence import (
    Evidence,
    audit_sentence,
    collect,
    each_reason_once,
    is_promoted_and_rolled_back,
)
from rollbook_demo.narration import Narrator, narrator_for
from rollbook_demo.report import html_report
from rollbook_demo.stories.base import Stage, Story
from rollbook_demo.stories.table import DEFAULT, STORIES

_INTERRUPTED = 130


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command line."""

    story: str
    report: Path | None
    html: Path
    keep: bool
    data_dir: Path
    is_temporary: bool


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0 when the story ended as it should and every proof holds."""
    options = _parse(arguments)
    # Both end the stack in order; a shell may have started us in the background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(options)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (RollbookError, TimeoutError, LookupError) as error:
        sys.stderr.write(f"The demo stopped: {error}\n")
        return 1
    finally:
        if options.is_temporary and not options.keep:
            shutil.rmtree(options.data_dir, ignore_errors=True)


def _parse(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="rollbook demo", description=__doc__)
    stories = "; ".join(f"{name}: {story.title}" for name, story in STORIES.items())
    parser.add_argument("--story", choices=STORIES, default=DEFAULT, help=f"which story ({stories})")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the evidence as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", default=Path("rollbook-demo.html"), help="the report")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="keep the stack's data here (must be new)")
    parsed = parser.parse_args(arguments)
    if parsed.data_dir is not None and parsed.data_dir.exists():
        parser.error(f"--data-dir {parsed.data_dir} already exists; the demo needs a new one")
    missing = STORIES[parsed.story].what_is_missing()
    if missing is not None:
        parser.error(f"--story {parsed.story} {missing}")
    data_dir = parsed.data_dir or Path(tempfile.mkdtemp(prefix="rollbook-demo-"))
    return Options(
        story=parsed.story,
        report=parsed.report,
        html=parsed.html,
        keep=parsed.keep,
        data_dir=data_dir.absolute(),
        is_temporary=parsed.data_dir is None,
    )


def _run(options: Options) -> int:
    console, began = Console(), time.monotonic()
    with narrator_for(console) as narrator:
        narrator.act("Starting Kafka, ClickHouse, the API, Envoy and the workers")
        settings = STORIES[options.story].settings
        with running_stack(options.data_dir, settings=settings, keep=options.keep) as (profile, status):
            narrator.say(f"ready after {time.monotonic() - began:.1f} s; data in {options.data_dir}")
            evidence = _play(options.story, profile, status, narrator, began=began)
            _tell_evidence(narrator, evidence)
            _write(options, evidence, narrator)
            if options.keep:
                _leave_up(options.story, profile, status, narrator)
    return 0 if is_promoted_and_rolled_back(evidence) else 1


def _play(story: str, profile: Profile, status: StackStatus, narrator: Narrator, *, began: float) -> Evidence:
    gateway_url, directory = status.address("envoy"), profile.data_dir / "demo"
    if gateway_url is None:
        raise RollbookError("the stack names no gateway address")
    directory.mkdir(parents=True, exist_ok=True)
    with profile.client() as rollbook:
        stage = Stage(
            rollbook=rollbook, profile=profile, narrator=narrator, gateway_url=gateway_url, directory=directory
        )
        played = STORIES[story].play(stage)
        narrator.act("The evidence")
        return collect(rollbook, profile, played, story=story, duration_s=time.monotonic() - began)


def _tell_evidence(narrator: Narrator, evidence: Evidence) -> None:
    for version, items in evidence.timelines.items():
        narrator.say(f"timeline of {version}")
        for item, reason in each_reason_once(items):
            narrator.say(f"  {item['at'][11:23]}  {reason and f'{reason} '}{item['summary']}")
    served, event = evidence.provenance, evidence.provenance.get("event") or {}
    narrator.say(
        f"one answer, {served.get('prediction_id')}, came from {served.get('version')}: event {event.get('id')}"
    )
    narrator.say(
        f"provenance of {evidence.provenance_checked:,} answers from the prediction id alone: "
        f"{evidence.provenance_mismatches} differ, {evidence.provenance_unknown} unknown"
    )
    narrator.say(evidence.sql)
    for row in evidence.sql_answer["data"]:
        narrator.say("  " + "  ".join(str(cell) for cell in row))
    narrator.say(f"audit: {audit_sentence(evidence.audit)}")
    narrator.say(
        f"{evidence.requests:,} requests, {evidence.failed_requests} failed; "
        f"promoted {evidence.promoted or 'nothing'}, rolled back {evidence.rolled_back or 'nothing'}; "
        f"the last good version served {evidence.decision_to_serving_ms:.0f} ms after the decision"
    )


def _write(options: Options, evidence: Evidence, narrator: Narrator) -> None:
    options.html.write_text(html_report(evidence), encoding="utf-8")
    narrator.say(f"report: {options.html.absolute()}")
    if options.report is not None:
        options.report.write_bytes(msgspec.json.format(msgspec.json.encode(evidence), indent=2))


def _leave_up(story: str, profile: Profile, status: StackStatus, narrator: Narrator) -> None:
    command = f"{_command()} --data-dir {profile.data_dir}"
    narrator.act(f"The stack stays up; stop it with: {command} down")
    for program in status.programs:
        for address in program.addresses:
            narrator.say(f"{program.name:<12} {address}")
    narrator.say(f"token        {profile.data_dir / 'secrets' / 'admin.token'}")
    for line in _things_to_try(command, STORIES[story]):
        narrator.say(line)


def _command() -> str:
    """Return how to call the command of this environment from the folder at hand; it need not be on the PATH."""
    path = Path(sys.executable).with_name("rollbook")
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _things_to_try(command: str, story: Story) -> tuple[str, ...]:
    endpoint = story.endpoint
    return (
        "1. Roll out your own model in three commands:",
        f"     {command} version register {endpoint} {story.own_version}",
        f"     {command} rollout start {endpoint} {endpoint}/4",
        f"     {command} rollout list --active",
        f"2. See the split: {command} traffic show {endpoint}",
        f"3. Follow the log: {command} events tail",
        f"4. Ask ClickHouse: {command} query 'SELECT count() FROM request_records'",  # noqa: S608  shown, not run
        f"5. Prove the log: {command} audit verify --topic",
    )
