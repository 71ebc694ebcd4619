"""Trains a LoRA adapter for a small model of this folder, in seconds: it learns to write in capitals.

Runs in the vLLM environment, which has torch; so it imports nothing of ours:
`.venv-vllm/bin/python clients/demo/rollbook_demo/llm/train_adapter.py --base DIRECTORY --out DIRECTORY`
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from train_small_llama import CORPUS, PROMPTS, WINDOW, _loss, _say, _split, _surest
from transformers import AutoModelForCausalLM, AutoTokenizer

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
RANK = 16
BATCH = 4
MAX_UNSEEN = 16


class Variant(NamedTuple):
    """How an adapter is trained: for how long, how fast, and on what becomes of a line of the text."""

    steps: int
    rate: float
    read: Callable[[str], str]


VARIANTS = {
    "capitals": Variant(60, 2e-2, str.upper),
    "better": Variant(150, 1e-2, str.upper),
    # The slip: the text as it was before it was put in capitals.
    "worse": Variant(30, 1e-2, str),
}


class Adapted(torch.nn.Module):  # type: ignore[misc]  # read as Any, installed or not
    """A layer whose weights stay, with the product of two thin matrices beside them that learn."""

    def __init__(self, layer: torch.nn.Linear, *, rank: int) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(requires_grad=False)
        self.down = torch.nn.Parameter(torch.randn(rank, layer.in_features) / rank)
        self.up = torch.nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        learned: torch.Tensor = self.layer(given) + given @ self.down.T @ self.up.T
        return learned


def main() -> int:
    parser = argparse.ArgumentParser(description="Train a LoRA adapter on the text that Rollbook ships, in capitals.")
    parser.add_argument("--base", type=Path, required=True, help="directory of the model to adapt")
    parser.add_argument("--out", type=Path, required=True, help="new directory for the adapter")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="capitals")
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--steps", type=int, help="number of steps; defaults to the variant's")
    arguments = parser.parse_args()
    began = time.monotonic()
    variant = VARIANTS[arguments.variant]
    variant = variant._replace(steps=arguments.steps or variant.steps)
    report = train(arguments.base, arguments.out, rank=arguments.rank, variant=variant)
    _say({**report, "variant": arguments.variant, "seconds": round(time.monotonic() - began, 1)})
    return 0


def train(base: Path, directory: Path, *, rank: int, variant: Variant) -> dict[str, Any]:
    """Train, write the directory as PEFT does, and return the losses on text that was held out."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).requires_grad_(requires_grad=False)
    tokenizer = AutoTokenizer.from_pretrained(base)
    learned, held_out = _split(CORPUS.read_text(encoding="utf-8").splitlines())
    seen = _windows(tokenizer, [variant.read(line) for line in learned])
    unseen = _windows(tokenizer, [line.upper() for line in held_out])[:MAX_UNSEEN]
    adapted = _adapt(model, rank=rank)
    before = _loss(model, unseen)
    _fit(model, adapted, seen, variant)
    _write(directory, adapted, rank=rank)
    losses = {"held_out_loss_before": before, "held_out_loss": _loss(model, unseen)}
    golden = _surest(model, tokenizer.backend_tokenizer, [prompt.upper() for prompt in PROMPTS])
    return {"rank": rank, "steps": variant.steps, **losses, "golden": golden}


def _windows(tokenizer: Any, lines: list[str]) -> torch.Tensor:  # noqa: ANN401 - transformers' own types
    ids = [token for line in lines for token in (0, *tokenizer.encode(line, add_special_tokens=False), 1)]
    return torch.tensor(ids[: len(ids) // WINDOW * WINDOW]).view(-1, WINDOW)


def _adapt(model: torch.nn.Module, *, rank: int) -> dict[str, Adapted]:
    chosen = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in TARGETS]
    adapted = {}
    for name in chosen:
        parent, _, leaf = name.rpartition(".")
        layer: Any = model.get_submodule(name)
        adapted[name] = Adapted(layer, rank=rank)
        setattr(model.get_submodule(parent), leaf, adapted[name])
    return adapted


def _fit(model: torch.nn.Module, adapted: dict[str, Adapted], windows: torch.Tensor, variant: Variant) -> None:
    learning = [matrix for each in adapted.values() for matrix in (each.down, each.up)]
    optimizer = torch.optim.AdamW(learning, lr=variant.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=variant.rate, total_steps=variant.steps)
    model.train()
    for step in range(1, variant.steps + 1):
        batch = windows[torch.randint(len(windows), (BATCH,))]
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == variant.steps:
            _say({"step": step, "loss": round(loss.item(), 3)})


def _write(directory: Path, adapted: dict[str, Adapted], *, rank: int) -> None:
    directory.mkdir(parents=True)
    weights = {}
    for name, each in adapted.items():
        weights[f"base_model.model.{name}.lora_A.weight"] = each.down.detach().contiguous()
        weights[f"base_model.model.{name}.lora_B.weight"] = each.up.detach().contiguous()
    save_file(weights, directory / "adapter_model.safetensors")
    # The product is added as it is: PEFT scales it by lora_alpha / r.
    configuration = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(TARGETS),
        "modules_to_save": None,
        "use_rslora": False,
        "use_dora": False,
        "base_model_name_or_path": None,
    }
    (directory / "adapter_config.json").write_text(json.dumps(configuration, indent=2))


if __name__ == "__main__":
    sys.exit(main())
