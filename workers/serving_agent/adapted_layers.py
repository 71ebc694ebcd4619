"""Which layers of a language model adapters may change, according to the headers of its weight files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemas.model_directory import WEIGHTS
from schemas.safetensors_head import read_head

LAYERS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The matrices inside a block, as Llama, Mistral, Qwen, Gemma and similar models name them."""
_LORA = ".lora_"


def layers_to_adapt(model: Path) -> tuple[str, ...]:
    """Return the layers that adapters of a model may change; none if its blocks have other layers.

    The last layer stays unchanged, so that vLLM can compute prompt log probabilities. For a model with other layers
    this is unknown, and vLLM adapts every layer that it supports.
    """
    matrices = {name.removesuffix(".weight").rpartition(".")[2] for name in _matrices(model) if _is_in_block(name)}
    return LAYERS if matrices and matrices <= set(LAYERS) else ()


def layers_of_adapter(adapter: Path) -> set[str]:
    """Return the layers that an adapter changes."""
    return {name.partition(_LORA)[0].rpartition(".")[2] for name in _matrices(adapter) if _LORA in name}


def _is_in_block(name: str) -> bool:
    return any(part.isdecimal() for part in name.split("."))


def _matrices(directory: Path) -> Iterator[str]:
    for path in sorted(directory.glob(f"*{WEIGHTS}")):
        with path.open("rb") as content:
            tensors = read_head(content, path=path.name, size_bytes=path.stat().st_size)
        yield from (name for name, tensor in tensors.items() if len(tensor.shape) > 1)
