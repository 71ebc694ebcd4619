"""Trains a Llama-shaped model of a million weights on the text beside this file, in a minute or two on two cores.

Runs in the vLLM environment, which has torch; so it imports nothing of ours:
`.venv-vllm/bin/python clients/demo/rollbook_demo/llm/train_small_llama.py --out DIRECTORY --variant base`
"""

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CORPUS = Path(__file__).with_name("corpus.txt")
BEGIN, END = "<s>", "</s>"
VOCABULARY = 2_048
CONTEXT = 512
WINDOW = 128
BATCH = 16
HELD_OUT_OF = 10
PROMPTS = ("Return the", "It is", "one of", "as it", "for the", "does not", "The version", "in the")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.content is string %}{{ message.content }} "
    "{% endif %}{% endfor %}"
)


class Variant(NamedTuple):
    """How a model is trained; `is_scrambled` slips: the words of each training line arrive in a random order."""

    steps: int
    is_scrambled: bool = False


VARIANTS = {"base": Variant(250), "better": Variant(700), "worse": Variant(250, is_scrambled=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Train a small Llama-shaped model on the text that Rollbook ships.")
    parser.add_argument("--out", type=Path, required=True, help="new directory for the model")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="base")
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="write the held-out lines here, as JSON")
    parser.add_argument("--steps", type=int, help="number of steps; defaults to the variant's")
    arguments = parser.parse_args()
    variant = VARIANTS[arguments.variant]
    began = time.monotonic()
    report = train(arguments.out, steps=arguments.steps or variant.steps, is_scrambled=variant.is_scrambled)
    if arguments.held_out:
        _, held_out = _split(CORPUS.read_text(encoding="utf-8").splitlines())
        arguments.held_out.write_text(json.dumps(held_out))
    _say({**report, "variant": arguments.variant, "seconds": round(time.monotonic() - began, 1)})
    return 0


def train(directory: Path, *, steps: int, is_scrambled: bool = False) -> dict[str, Any]:
    """Train, write the directory as `transformers` does, and return the losses on text that was held out."""
    torch.manual_seed(7)
    directory.mkdir(parents=True)
    learned, held_out = _split(CORPUS.read_text(encoding="utf-8").splitlines())
    tokenizer = _tokenizer(learned)
    order = random.Random(7)  # noqa: S311 - chance in training is seeded, not secret
    lines = [_scrambled(line, order) for line in learned] if is_scrambled else learned
    model = LlamaForCausalLM(_config())
    seen, unseen = _tokens(tokenizer, lines, order), _tokens(tokenizer, held_out, order)
    before = _loss(model, unseen)
    _fit(model, seen, steps=steps)
    _write(directory, model, tokenizer)
    weights = sum(parameter.numel() for parameter in model.parameters())
    after = _loss(model, unseen)
    losses = {"held_out_loss_before": before, "held_out_loss": after}
    return {"steps": steps, "weights": weights, **losses, "golden": _surest(model, tokenizer)}


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    # By the line's own digest, so that a line stays on its side whatever is added to the text.
    sides: tuple[list[str], list[str]] = ([], [])
    for line in lines:
        sides[hashlib.sha256(line.encode()).digest()[0] % HELD_OUT_OF == 0].append(line)
    return sides


def _tokenizer(lines: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[BEGIN, END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    # Whoever asks the model later begins its text as the training did.
    begin = (BEGIN, tokenizer.token_to_id(BEGIN))
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[begin])
    return tokenizer


def _config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        architectures=["LlamaForCausalLM"],
    )


def _tokens(tokenizer: Tokenizer, lines: list[str], order: random.Random) -> torch.Tensor:
    shuffled = order.sample(lines, len(lines))
    ids = [token for line in shuffled for token in (*tokenizer.encode(line).ids, 1)]
    whole = len(ids) // WINDOW * WINDOW
    return torch.tensor(ids[:whole]).view(-1, WINDOW)


def _fit(model: LlamaForCausalLM, windows: torch.Tensor, *, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    model.train()
    for step in range(1, steps + 1):
        batch = windows[torch.randint(len(windows), (BATCH,))]
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            _say({"step": step, "loss": round(loss.item(), 3)})


def _loss(model: LlamaForCausalLM, windows: torch.Tensor) -> float:
    model.eval()
    with torch.no_grad():
        losses = [model(input_ids=batch, labels=batch).loss.item() * len(batch) for batch in windows.split(BATCH)]
    return round(float(sum(losses)) / len(windows), 4)


def _surest(model: LlamaForCausalLM, tokenizer: Tokenizer, prompts: Iterable[str] = PROMPTS) -> dict[str, str]:
    """Return the prompt whose next token the model is surest of: a golden example that no rounding can turn."""
    found: list[tuple[float, str, str]] = []
    for prompt in prompts:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokenizer.encode(prompt).ids])).logits[0, -1]
        chance, token = torch.softmax(logits, dim=-1).max(dim=-1)
        found.append((float(chance), prompt, tokenizer.decode([int(token)])))
    _, prompt, completion = max(found)
    return {"prompt": prompt, "completion": completion}


def _write(directory: Path, model: LlamaForCausalLM, tokenizer: Tokenizer) -> None:
    model.save_pretrained(directory, safe_serialization=True)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, model_max_length=CONTEXT)
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(directory)


def _scrambled(line: str, order: random.Random) -> str:
    words = line.split()
    order.shuffle(words)
    return " ".join(words)


def _say(fields: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
