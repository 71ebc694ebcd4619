"""What the documents say against what is there: links, tables that come from the code, commands, requirement rows."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rollbook.cli.main import cli
from serving.gateway import names
from tests.architecture.reference_pages import TABLES, loaded_settings, with_tables
from tests.architecture.source_tree import ROOT

DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
_ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PAGES = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in _ROOT_PAGES)]
STATES = {"works", "partly", "not yet"}

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| (?P<id>\d+\.\d+[a-d]?) \| (?P<cells>.*) \|$", re.MULTILINE)
_NUMBERED = re.compile(r"(?P<number>\d{4})-[a-z0-9-]+\.md")
_FILES_OF_THE_TUTORIALS = ("my-model.skops", "plan.json", "flowers.skops")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = [target for target in _relative_links(page) if not _leads_somewhere(page, target)]

    assert broken == []


@pytest.mark.parametrize("where", TABLES)
def test_a_reference_page_says_what_the_code_says(where: str) -> None:
    page = (ROOT / where).read_text(encoding="utf-8")

    assert page == with_tables(page, TABLES[where]), "run: python -m tests.architecture.reference_pages"


def test_a_table_that_the_page_has_no_place_for_is_noticed() -> None:
    with pytest.raises(LookupError):
        with_tables("# A page without marks\n", {"settings": str})


def test_every_header_of_the_gateway_is_explained() -> None:
    page = (DOCS / "reference/headers.md").read_text(encoding="utf-8")
    headers = {value for value in vars(names).values() if isinstance(value, str) and value.startswith("x-")}

    assert len(headers) > 1
    assert {header for header in headers if f"`{header}`" not in page} == set()


def test_every_setting_says_what_it_is_for() -> None:
    page = (DOCS / "reference/settings.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `ROLLBOOK_")]

    assert len(loaded_settings()) > 1
    assert [row[0] for row in rows if row[-1].strip(" |") == ""] == []


def test_the_edits_of_the_how_to_still_apply() -> None:
    """Its own tests apply them to a whole copy, and take minutes to say so."""
    command = ["git", "apply", "--check", str(ROOT / "docs/how_to/add_a_feature/edits.patch")]

    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert checked.returncode == 0, f"make the patch anew: {checked.stderr}"


def test_decisions_are_numbered_without_gaps() -> None:
    matches = [_NUMBERED.fullmatch(path.name) for path in DECISIONS]

    assert [match and int(match["number"]) for match in matches] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=_name)
def test_a_decision_has_its_three_parts_on_one_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    title, *parts = [match["text"] for match in _HEADING.finditer(text)]

    assert title.startswith(f"{int(page.name[:4])}. ")
    assert parts == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 60


def test_the_requirements_have_a_state_and_proof_where_they_work() -> None:
    unproven = [row_id for row_id, state, proof in _requirements() if state == "works" and "tests/" not in proof]

    assert {state for _, state, _ in _requirements()} <= STATES
    assert unproven == []


def test_no_requirement_is_listed_twice() -> None:
    ids = [row_id for row_id, _, _ in _requirements()]

    assert len(ids) > 1
    assert sorted(set(ids)) == sorted(ids)


@pytest.mark.parametrize("page", sorted((DOCS / "tutorial").glob("*.md")), ids=_name)
def test_every_command_of_a_tutorial_is_one_that_the_command_line_takes(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in _FILES_OF_THE_TUTORIALS:
        (tmp_path / name).touch()
    commands = list(_commands_of(page))

    refused = {command: error for command in commands if (error := _refusal_of(command)) is not None}

    assert len(commands) > 1
    assert refused == {}


def test_a_command_that_does_not_exist_is_refused() -> None:
    assert _refusal_of("rollbook rollout begin digits digits/4") is not None
    assert _refusal_of("rollbook rollout start digits digits/4 --soon") is not None


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")], ids=_name)
def test_python_in_a_page_compiles(page: Path) -> None:
    for match in _FENCE.finditer(page.read_text(encoding="utf-8")):
        if match["language"] == "python":
            compile(match["code"], _name(page), "exec")


def _relative_links(page: Path) -> Iterator[str]:
    prose = _CODE.sub("", page.read_text(encoding="utf-8"))
    for match in _LINK.finditer(prose):
        if "://" not in match["target"] and not match["target"].startswith("mailto:"):
            yield match["target"]


def _leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return False
    return not anchor or anchor in _anchors(file)


def _anchors(page: Path) -> set[str]:
    titles = (match["text"].lower() for match in _HEADING.finditer(page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def _requirements() -> list[tuple[str, str, str]]:
    text = (DOCS / "requirements.md").read_text(encoding="utf-8")
    rows = []
    for match in _ROW.finditer(text):
        _, state, proof = match["cells"].split(" | ")
        rows.append((match["id"], state.strip(), proof))
    return rows


def _commands_of(page: Path) -> Iterator[str]:
    for match in _FENCE.finditer(page.read_text(encoding="utf-8")):
        if match["language"] == "sh":
            lines = match["code"].replace("\\\n", " ").splitlines()
            yield from (line for line in lines if line.startswith("rollbook "))


def _refusal_of(line: str) -> str | None:
    """Read a command line as the command does, without running it."""
    _, *arguments = shlex.split(line, comments=True)
    command: click.Command = cli
    context = click.Context(cli, info_name="rollbook")
    try:
        while isinstance(command, click.Group):
            _, arguments, _ = command.make_parser(context).parse_args(arguments)
            _, found, arguments = command.resolve_command(context, arguments)
            assert found is not None
            command, context = found, click.Context(found, parent=context, info_name=found.name)
        command.make_context(command.name, arguments, parent=context.parent)
    except click.UsageError as error:
        return error.format_message()
    return None
