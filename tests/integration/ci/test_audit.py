"""What `./task audit` makes of the answers that it gets: not having looked is never "nothing found"."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[3] / ".ci/audit.py"
CLEAN = {"name": "msgspec", "version": "1.0", "vulns": []}
VULNERABLE = {
    "name": "jinja2",
    "version": "2.4.1",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.8.1"]}],
}
SKIPPED = {"name": "mine", "skip_reason": "not found: mine (1.0)"}


@pytest.fixture(scope="module")
def audit() -> Any:  # noqa: ANN401  a program without a package
    spec = importlib.util.spec_from_file_location("audit", AUDIT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("looked", "pinned", "code", "said"),
    [
        ([CLEAN], 1, 0, "no known vulnerability in 1 locked"),
        ([CLEAN, VULNERABLE], 2, 1, "jinja2 2.4.1: PYSEC-1, CVE-1, fixed in 2.8.1"),
        ([CLEAN, SKIPPED], 2, 2, "COULD NOT LOOK up 1 of 2 locked dependencies; 1 others were checked"),
        ([SKIPPED], 1, 2, "nothing was checked"),
        ([], 3, 2, "COULD NOT LOOK up 3 of 3 locked dependencies; nothing was checked"),
        ([VULNERABLE, SKIPPED], 2, 1, "COULD NOT LOOK up 1 of 2"),
    ],
)
def test_an_audit_ends_with_what_it_knows(
    audit: Any,  # noqa: ANN401  a program without a package
    capsys: pytest.CaptureFixture[str],
    looked: list[dict[str, Any]],
    pinned: int,
    code: int,
    said: str,
) -> None:
    assert audit.report(looked, pinned=pinned) == code
    assert said in capsys.readouterr().out


def test_every_pin_of_a_name_is_looked_up(audit: Any) -> None:  # noqa: ANN401  a program without a package
    pinned = {("torch", "2.13.0"), ("torch", "2.12.0"), ("msgspec", "1.0")}

    batches = list(audit._batches(pinned))  # noqa: SLF001  what a run asks for

    assert {pin for batch in batches for pin in batch.items()} == pinned
    assert set(audit._pins_of("torch==2.13.0+cpu ; x \\\n    --hash=a\n# b==1")) == {("torch", "2.13.0")}  # noqa: SLF001  as above
