import json
from pathlib import Path

import pytest

from workers.serving_agent.engine_log import quote_log_end

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nImportError: no module named torch'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its log engine.log is empty"),
        (b"one\ntwo\n\nthree\nfour\nfive\n", "its log engine.log ends with: two | three | four | five"),
        (
            json.dumps({"event": "program_failed", "exception": TRACEBACK}).encode(),
            "its log engine.log ends with: program_failed: ImportError: no module named torch",
        ),
        (
            b'{"event":"cannot_start","reason":"port 9 is taken"}\n[1, 2]\n',
            "its log engine.log ends with: cannot_start: port 9 is taken | [1, 2]",
        ),
        (b"\x1b[31m\xff\xfe no text\x07", "its log engine.log ends with: [31m\ufffd\ufffd no text"),
    ],
)
def test_the_last_lines_are_quoted_as_a_person_reads_them(tmp_path: Path, content: bytes, said: str) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(content)

    assert quote_log_end(log) == said


def test_errors_above_the_last_lines_are_quoted_after_them(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text(
        "(EngineCore pid=7) ERROR [core.py:1100] EngineCore encountered a fatal error.\n"
        "(EngineCore pid=7) ERROR [core.py:1100] Traceback (most recent call last):\n"
        '(EngineCore pid=7) ERROR [core.py:1100]   File "core.py", line 1091, in run\n'
        "(EngineCore pid=7) ERROR [core.py:1100] RuntimeError: no room for 3 blocks\n"
        "Process EngineCore:\n"
        "    raise ValueError\n"
        "    except ImportError\n"
        "RuntimeError: no room for 3 blocks\n"
        "ERROR Traceback (most recent call last):\n"
        'ERROR   File "async_llm.py", line 1\n'
        'ERROR     raise EngineDeadError("see above")\n'
        "ERROR vllm.v1.engine.exceptions.EngineDeadError: see above\n"
    )

    said = quote_log_end(log)

    assert said.endswith("EngineDeadError: see above; errors above: RuntimeError: no room for 3 blocks")


def test_lines_of_other_instances_in_the_same_process_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "engine-shared-0.log"
    log.write_text(
        '{"event":"ready","instance_id":"mine"}\n'
        '{"event":"prediction_failed","instance_id":"another"}\n'
        '{"event":"listening"}\n'
        "killed\n"
    )

    assert quote_log_end(log, instance_id="mine").endswith("ends with: ready | listening | killed")


def test_a_long_line_is_cut_and_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    assert quote_log_end(log).endswith("is empty")

    log.write_text("x" * 5_000 + "\n" + "y" * 5_000)

    assert len(quote_log_end(log)) < 700
