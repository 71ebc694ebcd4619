"""`docs/tutorial/serve_your_own_model.md`, done as it stands, and with the files of other libraries that it names."""

import re
from pathlib import Path

import pytest

from tests.support.stack import RunningStack
from tests.support.tutorial import done_with, in_folder, saving_by_file, with_file

TRAINING = {
    "flowers.onnx": """
import onnx
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier

model = RandomForestClassifier(n_estimators=10, random_state=0).fit(rows, species)
graph = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=18)
""",
    "flowers.ubj": """
import xgboost

model = xgboost.XGBClassifier(n_estimators=10, n_jobs=1).fit(rows, species)
""",
    "flowers.txt": """
import lightgbm

model = lightgbm.LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1).fit(rows, species)
""",
}
IN_EXTRAS = {"flowers.pt2", "flowers.cbm"}

pytestmark = pytest.mark.timeout(1_200)


def test_a_model_is_served_by_what_the_page_says(stack: RunningStack, tmp_path: Path, name: str) -> None:
    labels, printed = done_with(stack, tmp_path, in_folder(tmp_path), name=name)

    assert labels == "['setosa', 'virginica']"
    assert "the extra" not in printed


@pytest.mark.parametrize("file", TRAINING)
def test_so_is_a_model_of_another_library(stack: RunningStack, tmp_path: Path, name: str, file: str) -> None:
    commands = with_file(tmp_path, file, training=TRAINING[file])

    labels, printed = done_with(stack, tmp_path, commands, name=name)

    assert labels == "[0, 2]"
    assert re.search(r"needs +the extra '(onnx|xgboost|lightgbm)' on the serving host", printed)


def test_every_library_of_the_page_is_tried() -> None:
    assert saving_by_file().keys() == TRAINING.keys() | IN_EXTRAS
