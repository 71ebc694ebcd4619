"""`docs/tutorial/serve_your_own_model.md` with the files of libraries that only the tests of extras have."""

from pathlib import Path

import pytest

from tests.support.stack import RunningStack
from tests.support.tutorial import done_with, with_file

TRAINING = {
    "flowers.pt2": """
import torch


class Flowers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x):
        probabilities = torch.softmax(self.linear(x), dim=1)
        return {"label": probabilities.argmax(dim=1), "probabilities": probabilities}


from sklearn.linear_model import LogisticRegression

trained, model = LogisticRegression(max_iter=500).fit(rows, species), Flowers().eval()
with torch.no_grad():
    model.linear.weight.copy_(torch.tensor(trained.coef_))
    model.linear.bias.copy_(torch.tensor(trained.intercept_))
free = torch.export.Dim("rows", min=1)
program = torch.export.export(model, (torch.tensor(rows[:2]),), dynamic_shapes={"x": {0: free}})
""",
    "flowers.cbm": """
import catboost

model = catboost.CatBoostClassifier(iterations=10, thread_count=1, logging_level="Silent", allow_writing_files=False)
model.fit(rows, species)
""",
}

# Training loads torch again, which takes most of the time on a busy machine.
pytestmark = pytest.mark.timeout(1_500)


@pytest.mark.parametrize("file", TRAINING)
def test_a_model_of_an_extra_is_served_by_what_the_page_says(stack: RunningStack, tmp_path: Path, file: str) -> None:
    commands = with_file(tmp_path, file, training=TRAINING[file])

    labels, _ = done_with(stack, tmp_path, commands, name=file.replace(".", "-"))

    assert labels == "[0, 2]"
