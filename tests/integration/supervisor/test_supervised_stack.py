import signal
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from infra.errors import InfraError
from infra.ports import free_ports
from infra.supervisor.status import read_status, running_pid, stop, tail_logs
from tests.integration.supervisor.conftest import DEADLINE_SECONDS, Stack, events, eventually, is_gone, kill

Make = Callable[..., Stack]
LAST_PAUSE = (("program_restarts", 4), ("program_started", 5))

TWO = """
    return [
        ProgramSpec(name="base", argv=child("sleep"), addresses=("here:1",)),
        ProgramSpec(name="top", argv=child("sleep"), depends_on=("base",)),
    ]
"""


def test_programs_start_when_what_they_need_is_ready_and_stop_in_reverse(stack: Make) -> None:
    running = (
        stack("""
        def spec(name, *after):
            ready = FileReady(str(data.run / name))
            argv = child("ordered", str(data.run), name)
            return ProgramSpec(name=name, argv=argv, depends_on=after, ready=ready)
        return [spec("c", "b"), spec("a"), spec("b", "a")]
    """)
        .start()
        .until_ready()
    )

    assert running.end() == 0

    order = (running.folder / "run" / "order").read_text().split("\n")[:-1]
    assert order == ["a up", "b up", "c up", "c down", "b down", "a down"]
    assert running.status().state == "stopped"


def test_the_status_tells_names_pids_states_addresses_and_restarts(stack: Make) -> None:
    running = stack(TWO).start().until_ready()

    base, top = running.status().programs

    assert (base.name, base.state, base.addresses, base.restarts) == ("base", "ready", ("here:1",), 0)
    assert not is_gone(top.pid or 0)
    assert running_pid(running.folder) == running.process.pid if running.process else None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_after_a_stop(stack: Make, number: signal.Signals) -> None:
    running = stack(TWO).start().until_ready()
    pids = running.pids()

    assert running.end(number) == 0

    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids.values())


def test_nothing_is_left_when_the_supervisor_is_killed(stack: Make) -> None:
    running = stack(TWO).start().until_ready()
    pids = running.pids()

    running.end(signal.SIGKILL)

    eventually(lambda: all(is_gone(pid) for pid in pids.values()), "the programs end with their supervisor")
    assert running.status().state == "stopped"
    assert running.start().until_ready().end() == 0


def test_a_bug_in_the_supervision_of_a_program_does_not_end_it(stack: Make) -> None:
    running = (
        stack("""
        class Odd(RestartPolicy):
            def wait_seconds(self, deaths):
                if not (data.run / "odd").exists():
                    (data.run / "odd").touch()
                    raise ZeroDivisionError
                return 0.0
        return [ProgramSpec(name="base", argv=child("sleep"), restart=Odd())]
    """)
        .start()
        .until_ready()
    )
    before = running.pids()["base"]

    kill(before)

    eventually(lambda: running.pids().get("base", before) != before, "the program is started again")
    assert [entry["work"] for entry in events(running) if entry["event"] == "background_work_failed"] == [
        "supervise-base"
    ]
    assert running.end() == 0


def test_a_killed_program_is_started_again(stack: Make) -> None:
    running = stack(TWO).start().until_ready()
    before = running.pids()["base"]

    kill(before)

    eventually(lambda: running.pids().get("base", before) != before, "another process takes its place")
    eventually(lambda: running.status().programs[0].state == "ready", "it is ready")
    assert running.status().programs[0].restarts == 1
    assert running.pids()["top"] != before


def test_a_crash_loop_slows_down(stack: Make) -> None:
    running = (
        stack("""
        return [ProgramSpec(name="bad", argv=child("crash_when_told", str(data.run / "crash")))]
    """)
        .start()
        .until_ready()
    )
    (running.folder / "run" / "crash").touch()

    def logged(event: str) -> list[dict[str, object]]:
        return [one for one in events(running) if one["event"] == event]

    eventually(lambda: len(logged("program_started")) >= 6, "six starts")

    pauses = [float(str(one["after_seconds"])) for one in logged("program_restarts")[:5]]
    assert all(0.8 <= pause / (0.1 * 2**deaths) <= 1.2 for deaths, pause in enumerate(pauses)), "doubled, with jitter"
    decided, started = (datetime.fromisoformat(str(logged(each)[number]["at"])) for each, number in LAST_PAUSE)
    assert started >= decided + timedelta(seconds=0.99 * pauses[4]), "the last one was kept to"
    assert running.end() == 0


def test_a_program_that_never_gets_ready_ends_the_start_and_leaves_nothing(stack: Make) -> None:
    running = stack("""
        return [
            ProgramSpec(name="good", argv=child("sleep")),
            ProgramSpec(name="mute", argv=child("sleep"), ready=FileReady("/nowhere"), ready_seconds=0.5),
        ]
    """).start()

    assert running.process is not None
    assert running.process.wait(DEADLINE_SECONDS) == 78
    status = running.status()
    assert status.state == "failed"
    assert "mute could not start: it was not ready after" in (status.reason or "")
    assert not running.pids()


def test_a_stranger_on_the_port_does_not_make_a_program_ready(stack: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        running = stack(f"""
            return [ProgramSpec(name="ours", argv=child("sleep"), ready_seconds=1.0,
                                ready=TcpReady("127.0.0.1", {stranger.getsockname()[1]}))]
        """).start()

        assert running.process is not None
        assert running.process.wait(DEADLINE_SECONDS) != 0

    assert "ours could not start: it was not ready after 1 s" in (running.status().reason or "")


def test_a_program_that_says_why_it_cannot_start_is_quoted_and_not_tried_again(stack: Make) -> None:
    running = stack("""
        base = ProgramSpec(name="base", argv=child("sleep"))
        return [base, ProgramSpec(name="picky", argv=child("picky"), ready=TcpReady("127.0.0.1", 1))]
    """).start()

    assert running.process is not None
    assert running.process.wait(DEADLINE_SECONDS) == 78
    assert running.status().reason == "Java is too old"
    assert len([event for event in events(running) if event["event"] == "program_started"]) == 2


def test_a_program_that_only_crashes_ends_the_start(stack: Make) -> None:
    running = stack("""
        policy = RestartPolicy(first_seconds=0.01, deaths_before_ready=2)
        argv = child("crash")
        return [ProgramSpec(name="bad", argv=argv, ready=TcpReady("127.0.0.1", 1), restart=policy)]
    """).start()

    assert running.process is not None
    assert running.process.wait(DEADLINE_SECONDS) == 78
    assert "bad could not start: it ended with code 5; see" in (running.status().reason or "")


def test_a_command_that_does_not_exist_ends_the_start(stack: Make) -> None:
    running = stack("""
        policy = RestartPolicy(first_seconds=0.01, deaths_before_ready=2)
        return [ProgramSpec(name="ghost", argv=("/nowhere/ghost",), restart=policy)]
    """).start()

    assert running.process is not None
    assert running.process.wait(DEADLINE_SECONDS) == 78
    assert "ghost could not start: [Errno 2]" in (running.status().reason or "")


def test_a_second_stack_on_the_same_directory_is_refused_and_harms_nothing(stack: Make) -> None:
    first = stack(TWO).start().until_ready()
    assert first.process is not None
    pids = first.pids()
    second = stack(TWO).start()
    assert second.process is not None

    assert second.process.wait(DEADLINE_SECONDS) == 78

    assert f"already running on {first.folder} (process {first.process.pid})" in second.output.read_text()
    assert first.pids() == pids


def test_a_program_that_ignores_the_request_to_stop_is_killed(stack: Make) -> None:
    running = (
        stack("""
        deaf = str(data.run / "deaf")
        return [ProgramSpec(name="deaf", argv=child("deaf", deaf), ready=FileReady(deaf), stop_seconds=0.3)]
    """)
        .start()
        .until_ready()
    )
    pid = running.pids()["deaf"]

    assert running.end() == 0

    assert is_gone(pid)


def test_what_a_program_leaves_behind_is_ended_too(stack: Make) -> None:
    running = (
        stack("""
        note = str(data.run / "child")
        return [ProgramSpec(name="parent", argv=child("parent", note), ready=FileReady(note))]
    """)
        .start()
        .until_ready()
    )
    note = running.folder / "run" / "child"
    eventually(lambda: bool(note.read_text()), "the child is noted")
    child, parent = int(note.read_text()), running.pids()["parent"]

    kill(parent)
    eventually(lambda: running.status().programs[0].restarts == 1, "the parent is started again")
    assert not is_gone(child)
    assert running.end() == 0

    eventually(lambda: is_gone(child), "the child is ended with the stack")


def test_logs_are_kept_by_program_and_can_be_followed(stack: Make) -> None:
    running = (
        stack("""
        return [ProgramSpec(name="talker", argv=child("talk", str(data.run / "more")))]
    """)
        .start()
        .until_ready()
    )

    lines = tail_logs(running.folder, ["talker"], lines=10, follow=True)

    assert [next(lines).text for _ in range(2)] == ["one", "two"]
    (running.folder / "run" / "more").touch()
    assert next(lines).text == "three"
    with pytest.raises(InfraError, match="no log for stranger; there are talker"):
        next(tail_logs(running.folder, ["stranger"]))


def test_stop_waits_until_the_stack_is_down(stack: Make) -> None:
    running = stack(TWO).start().until_ready()
    pids = running.pids()

    assert stop(running.folder, timeout_seconds=DEADLINE_SECONDS)

    assert all(is_gone(pid) for pid in pids.values())
    assert not stop(running.folder)


def test_a_directory_without_a_stack_has_no_status(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    assert running_pid(tmp_path) is None


def test_readiness_is_asked_over_http_and_tcp(stack: Make) -> None:
    web, after = free_ports(2)
    running = stack(f"""
        return [
            ProgramSpec(name="web", argv=child("serve", "{web}"), ready=HttpReady("http://127.0.0.1:{web}/")),
            ProgramSpec(name="after", argv=child("serve", "{after}"), depends_on=("web",),
                        ready=TcpReady("127.0.0.1", {after})),
        ]
    """).start()

    running.until_ready()

    assert [program.state for program in running.status().programs] == ["ready", "ready"]
    assert running.end() == 0
