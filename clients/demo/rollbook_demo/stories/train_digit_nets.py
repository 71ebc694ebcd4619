"""Trains three torch classifiers of handwritten digits in seconds, and writes each as an exported program.

A program of its own, so that the demo itself needs no torch; it prints a list of `Net` as one line of JSON.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from rollbook_demo.models import BRIGHTEST, PIXELS, read_digits

_SIDE, _DIGITS, _BATCH = 8, 10, 32
_SHARE_MIRRORED = 0.8
_SEED = 7


class Net(msgspec.Struct, frozen=True, kw_only=True):
    """A trained classifier: its file, what a person calls it, and what a correct instance answers to one image."""

    path: str
    title: str
    offline_accuracy: float
    golden_label: int


class _Scaled(torch.nn.Module):  # type: ignore[misc]  # torch is an extra
    """Takes pixels as they come, 0 to 16."""

    def __init__(self, body: torch.nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        shares = torch.softmax(self.body(pixels / BRIGHTEST), dim=1)
        return {"label": shares.argmax(dim=1), "probabilities": shares}


def train_all(directory: Path) -> list[Net]:
    """Train the baseline, the better net, and the better net on images most of which were mirrored on the way."""
    torch.set_num_threads(1)
    digits = read_digits()
    images, labels = _tensor(digits.train_images), torch.tensor(digits.train_labels)
    generator = torch.Generator().manual_seed(_SEED)
    is_mirrored = torch.rand(len(images), 1, generator=generator) < _SHARE_MIRRORED
    mirrored = images.reshape(-1, _SIDE, _SIDE).flip(2).reshape(-1, PIXELS)
    kinds = (
        ("one linear layer", _linear, images, 10),
        ("a small convolutional net", _convolutional, images, 12),
        ("the same net, most training images mirrored", _convolutional, torch.where(is_mirrored, mirrored, images), 12),
    )
    nets = []
    for number, (title, make, seen, epochs) in enumerate(kinds, start=1):
        torch.manual_seed(_SEED)
        net = _fitted(make(), seen, labels, epochs=epochs)
        path = directory / f"digits-{number}.pt2"
        _export(net, path)
        answered = net(_tensor(digits.validation_images))["label"].numpy()
        nets.append(
            Net(
                path=str(path),
                title=title,
                offline_accuracy=float(np.mean(answered == digits.validation_labels)),
                golden_label=int(net(images[:1])["label"][0]),
            )
        )
    return nets


def _tensor(images: Any) -> torch.Tensor:  # noqa: ANN401 - an array of any numbers
    return torch.tensor(images, dtype=torch.float32)


def _linear() -> torch.nn.Module:
    return torch.nn.Linear(PIXELS, _DIGITS)


def _convolutional() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, _SIDE, _SIDE)),
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * (_SIDE // 2) ** 2, _DIGITS),
    )


def _fitted(body: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, *, epochs: int) -> torch.nn.Module:
    optimiser = torch.optim.Adam(body.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(_SEED)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(_BATCH):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(body(images[batch] / BRIGHTEST), labels[batch]).backward()
            optimiser.step()
    return _Scaled(body).eval()


def _export(net: torch.nn.Module, path: Path) -> None:
    rows = torch.export.Dim("rows", min=1)
    example = torch.zeros(2, PIXELS)
    torch.export.save(torch.export.export(net, (example,), dynamic_shapes={"pixels": {0: rows}}), path)


def main() -> int:
    """Train, and tell what came of it."""
    parser = argparse.ArgumentParser(description="Train the torch models of the demo.")
    parser.add_argument("--out", type=Path, required=True, help="directory for the exported programs")
    directory: Path = parser.parse_args().out
    sys.stdout.buffer.write(msgspec.json.encode(train_all(directory)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
