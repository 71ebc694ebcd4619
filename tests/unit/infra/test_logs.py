import json
import logging

import pytest
import structlog

from infra.logs import configure_logs


def test_lines_are_json_with_program_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("sample")

    structlog.get_logger("x").info("thing_done", count=2)

    line = json.loads(capsys.readouterr().err)
    assert (line["program"], line["event"], line["count"], line["level"]) == ("sample", "thing_done", 2, "info")


def test_the_standard_library_logs_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("sample")

    logging.getLogger("library").warning("careful %s", "now")

    line = json.loads(capsys.readouterr().err)
    assert (line["program"], line["event"], line["logger"]) == ("sample", "careful now", "library")


def test_the_cause_of_a_failure_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("sample")

    structlog.get_logger("x").error("failed", exc_info=ValueError("why"))

    assert "ValueError: why" in json.loads(capsys.readouterr().err)["exception"]
