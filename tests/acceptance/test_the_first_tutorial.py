"""`docs/tutorial/serve_your_own_model.md`, done as it stands, for a scikit-learn file and for an ONNX file."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from tests.support.stack import RunningStack

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "serve_your_own_model.md"
_FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_SAVED_AS = re.compile(r"`(\w+\.py)`")

pytestmark = pytest.mark.timeout(300)


def as_it_stands(folder: Path) -> str:
    """Save the page's programs where a reader would, and return its commands but those that start and stop a stack."""
    page, commands, end = PAGE.read_text(encoding="utf-8"), [], 0
    for match in _FENCE.finditer(page):
        if match["language"] == "python":
            (folder / _SAVED_AS.findall(page, end, match.start())[-1]).write_text(match["code"])
        elif "rollbook up" not in match["code"]:
            commands.append(match["code"])
        end = match.end()
    return "\n".join(commands)


def with_onnx(folder: Path) -> str:
    """Do the same with a file of another format."""
    commands = as_it_stands(folder)
    flowers = load_iris()
    model = RandomForestClassifier(n_estimators=10, random_state=0).fit(flowers.data, flowers.target)
    (folder / "flowers.onnx").write_bytes(
        to_onnx(model, flowers.data[:1], options={"zipmap": False}, target_opset=18).SerializeToString()
    )
    (folder / "ask.py").write_text((folder / "ask.py").read_text().replace('"name": "x"', '"name": "X"'))
    return commands.replace("python train.py\n", "").replace("flowers.skops", "flowers.onnx")


@pytest.mark.parametrize("prepared", [as_it_stands, with_onnx])
def test_a_model_is_served_by_what_the_page_says(
    stack: RunningStack, tmp_path: Path, name: str, prepared: Callable[[Path], str]
) -> None:
    commands = prepared(tmp_path)
    # Each round has a model of its own on the stack that the tests share.
    (tmp_path / "ask.py").write_text((tmp_path / "ask.py").read_text().replace("models/flowers/", f"models/{name}/"))
    commands = re.sub(r"\bflowers(?!\.)", name, commands)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**os.environ, "PATH": path, "ROLLBOOK_DATA_DIR": str(stack.data_dir)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    *_, labels, _probabilities, who = done.stdout.splitlines()
    assert re.fullmatch(r"\w+ \['setosa', 'virginica'\]|\w+ \[0, 2\]", labels), done.stdout
    assert who.endswith(f"by {name}/1")
