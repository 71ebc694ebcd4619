"""`docs/tutorial/serve_your_own_model.md`, done as it stands, and with the model of another library."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.stack import RunningStack

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "serve_your_own_model.md"
_FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_SAVED_AS = re.compile(r"`(\w+\.py)`")
_OTHER_LIBRARY = re.compile(r"^\| `(?P<file>flowers\.\w+)` \| [^|]* \| `(?P<saving>[^|]*)` \|", re.MULTILINE)
_FLOWERS = (
    "from sklearn.datasets import load_iris\n\nflowers = load_iris()\nrows, species = flowers.data, flowers.target\n"
)


def in_folder(folder: Path) -> str:
    """Save the page's programs where a reader would, and return its commands but those that start and stop a stack."""
    page, commands, end = PAGE.read_text(encoding="utf-8"), [], 0
    for match in _FENCE.finditer(page):
        if match["language"] == "python":
            (folder / _SAVED_AS.findall(page, end, match.start())[-1]).write_text(match["code"])
        elif "rollbook up" not in match["code"]:
            commands.append(match["code"])
        end = match.end()
    return "\n".join(commands)


def saving_by_file() -> dict[str, str]:
    """Return how one saves a model of another library, by the name of the file, as the page says it."""
    page = PAGE.read_text(encoding="utf-8")
    return {match["file"]: match["saving"] for match in _OTHER_LIBRARY.finditer(page)}


def with_file(folder: Path, file: str, *, training: str) -> str:
    """Do the same with a model of another library, trained on `rows` and `species` and saved by what the page says."""
    commands = in_folder(folder)
    (folder / "train.py").write_text(f"{_FLOWERS}{training}\n{saving_by_file()[file]}\n")
    return commands.replace("flowers.skops", f"{file} --input x:FP64:-1x4")


def done_with(stack: RunningStack, folder: Path, commands: str, *, name: str) -> tuple[str, str]:
    """Run the commands with a model of this name; return the labels that it answers, and all that was printed."""
    # Each round has a model of its own on the stack that the tests share.
    (folder / "ask.py").write_text((folder / "ask.py").read_text().replace("models/flowers/", f"models/{name}/"))
    commands = re.sub(r"\bflowers(?!\.)", name, commands)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**os.environ, "PATH": path, "ROLLBOOK_DATA_DIR": str(stack.data_dir)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    answered = dict(line.split(" ", 1) for line in done.stdout.splitlines()[-3:])
    assert answered["prediction"].endswith(f"by {name}/1")
    return answered["label"], done.stdout
