import tomllib
from pathlib import Path

from rollbook.cli.registry import EXTRAS
from serving.engines.base import FACTORIES

_PROJECT = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_command_line_knows_which_formats_need_an_extra() -> None:
    assert set(FACTORIES) & set(_PROJECT["optional-dependencies"]) == EXTRAS
