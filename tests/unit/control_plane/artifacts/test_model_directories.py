"""Model directories and adapters: looked over file by file, and refused where the parts do not belong together."""

from typing import Any

import msgspec
import pytest

from control_plane.artifacts.artifact_store import ArtifactStore
from control_plane.artifacts.errors import AdapterDoesNotFitError, NotAModelError
from schemas.events.registry import Artifact
from tests.support.artifact_files import digest_of, put
from tests.unit.control_plane.artifacts.inspecting import inspected


def weights(head: bytes = b'{"__metadata__": {"format": "pt"}}', *, length: int | None = None) -> bytes:
    return (len(head) if length is None else length).to_bytes(8, "little") + head + b"numbers"


CONFIGURATION = b'{"architectures": ["LlamaForCausalLM"]}'


def indexed(store: ArtifactStore, *, skip: str = "", **changed: bytes) -> str:
    """Put a model directory and its index into the store; `skip` is named by the index and not there."""
    contents = {"config.json": CONFIGURATION, "model.safetensors": weights()}
    contents |= {".".join(name.rsplit("_", 1)): content for name, content in changed.items()}
    for path, content in contents.items():
        if path != skip:
            put(store, content)
    entries = [
        {"path": path, "digest": digest_of(content), "size_bytes": len(content)} for path, content in contents.items()
    ]
    return put(store, msgspec.json.encode({"files": entries}))


def test_a_model_directory_is_looked_over_file_by_file(store: ArtifactStore) -> None:
    digest = indexed(store)

    artifact = inspected(store, digest, artifact_format="transformers").artifact

    assert (artifact.digest, artifact.format) == (digest, "transformers")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"skip": "model.safetensors"}, "upload every file before the index"),
        ({"model_safetensors": b"short"}, "its header is longer than the file"),
        ({"model_safetensors": weights(length=2**40)}, "its header is longer than the file"),
        ({"model_safetensors": weights(b"[1, 2, 3]")}, "is not a safetensors file"),
        (
            {"model_safetensors": weights(b'{"' + b"a" * 2_000 + b'": {"dtype": "F32", "shape": []}}')},
            "longer than 1000",
        ),
        ({"model_safetensors": b"\x80\x04\x95\x00\x00\x00\x00\x00" + b"x" * 200}, "its header is longer than the file"),
        ({"config_json": b"{}"}, "names no architecture"),
        ({"config_json": b"{"}, "is not a JSON"),
        ({"config_json": b'{"architectures": ["X"], "auto_map": {"AutoModel": "m.X"}}'}, "custom code"),
    ],
)
def test_a_model_directory_that_is_none_is_refused(store: ArtifactStore, changed: dict[str, Any], reason: str) -> None:
    digest = indexed(store, **changed)

    with pytest.raises(NotAModelError) as refusal:
        inspected(store, digest, artifact_format="transformers")

    assert reason in refusal.value.detail


ADAPTER = b'{"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"]}'


def test_the_directory_of_an_adapter_is_looked_over(store: ArtifactStore) -> None:
    with pytest.raises(NotAModelError) as missing:
        inspected(
            store, indexed(store, skip="adapter_config.json", adapter_config_json=ADAPTER), artifact_format="lora"
        )

    assert "upload every file" in missing.value.detail
    whole = indexed(store, adapter_config_json=ADAPTER)
    assert inspected(store, whole, artifact_format="lora").artifact.format == "lora"


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        (b'{"peft_type": "IA3", "r": 8}', "not describe an adapter of the type LORA"),
        (b'{"peft_type": "LORA"}', "has no rank"),
        (b'{"peft_type": "LORA", "r": true}', "has no rank"),
        (b'{"peft_type": "LORA", "r": 0}', "has no rank"),
        (b"[]", "is not a JSON"),
    ],
)
def test_an_adapter_that_is_none_is_refused(store: ArtifactStore, configuration: bytes, reason: str) -> None:
    digest = indexed(store, adapter_config_json=configuration)

    with pytest.raises(NotAModelError) as refusal:
        inspected(store, digest, artifact_format="lora")

    assert reason in refusal.value.detail


def test_a_model_is_no_adapter(store: ArtifactStore) -> None:
    with pytest.raises(NotAModelError) as refusal:
        inspected(store, indexed(store), artifact_format="lora")

    assert "no adapter_config.json" in refusal.value.detail


def tensors(**shapes: tuple[int, ...]) -> bytes:
    """Make weights with a head only; dots in names are written `__`."""
    head = {
        name.replace("__", "."): {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
        for name, shape in shapes.items()
    }
    return weights(msgspec.json.encode(head))


def model(store: ArtifactStore, **shapes: tuple[int, ...]) -> Artifact:
    digest = indexed(store, model_safetensors=tensors(**shapes))
    return inspected(store, digest, artifact_format="transformers").artifact


def adapter(store: ArtifactStore, **shapes: tuple[int, ...]) -> str:
    named = {f"base_model__model__{name}__weight": shape for name, shape in shapes.items()}
    return indexed(store, adapter_config_json=ADAPTER, adapter_model_safetensors=tensors(**named))


Q = "model__layers__0__self_attn__q_proj"
BASE = {f"{Q}__weight": (64, 32), "model__embed_tokens__weight": (500, 32), "lm_head__weight": (500, 32)}
FITS = {f"{Q}__lora_A": (8, 32), f"{Q}__lora_B": (64, 8)}


@pytest.mark.parametrize(
    ("base", "adapted"),
    [
        (BASE, FITS),
        # Saved from the bare model, without the class around it.
        (BASE, {name.removeprefix("model__"): shape for name, shape in FITS.items()}),
        # As GPT-2 keeps it.
        ({f"{Q}__weight": (32, 64)}, FITS),
        # Packed weights have shapes of their own.
        ({f"{Q}__qweight": (4, 64), f"{Q}__scales": (1, 64)}, FITS),
        (BASE, FITS | {"lm_head__lora_A": (8, 32), "lm_head__lora_B": (500, 8)}),
        # Experts that are kept in one tensor.
        (BASE, FITS | {"model__layers__0__mlp__experts__base_layer__lora_A": (8, 32)}),
        # The last layer is the first one, transposed.
        ({f"{Q}__weight": (64, 32)}, FITS | {"lm_head__lora_A": (8, 32), "lm_head__lora_B": (500, 8)}),
    ],
)
def test_an_adapter_of_its_parent_is_taken(
    store: ArtifactStore, base: dict[str, tuple[int, ...]], adapted: dict[str, tuple[int, ...]]
) -> None:
    parent = model(store, **base)

    found = inspected(store, adapter(store, **adapted), artifact_format="lora", parent=parent)

    assert found.artifact.format == "lora"


@pytest.mark.parametrize(
    ("adapted", "reason"),
    [
        (
            {f"{Q}__lora_A": (8, 48), f"{Q}__lora_B": (64, 8)},
            "take 48 inputs and give 64; the parent's layer takes 32",
        ),
        ({f"{Q}__lora_A": (8, 32), f"{Q}__lora_B": (96, 8)}, "give 96; the parent's layer takes 32 and gives 64"),
        (FITS | {"model__layers__7__mlp__up_proj__lora_A": (8, 32)}, "layers.7.mlp.up_proj, which the parent does not"),
        (FITS | {"a" * 900: (8, 8), f"{'a' * 900}__lora_A": (8, 32)}, "aaa, which the parent does not have"),
        (FITS | {"lm_head__lora_B": (700, 8)}, "lm_head take None inputs and give 700"),
        ({"model__layers__0__self_attn__q_proj__lora_magnitude": (64,)}, "contains no pair"),
    ],
)
def test_an_adapter_of_another_model_is_refused(
    store: ArtifactStore, adapted: dict[str, tuple[int, ...]], reason: str
) -> None:
    parent = model(store, **BASE)

    with pytest.raises(AdapterDoesNotFitError) as refusal:
        inspected(store, adapter(store, **adapted), artifact_format="lora", parent=parent)

    assert reason in refusal.value.detail
    assert refusal.value.field == "artifact.parent"


def tokenizer(words: int, *, added: int = 0) -> bytes:
    extra = [{"id": words + number, "content": f"<{number}>"} for number in range(added)]
    vocabulary = {f"word{number}": number for number in range(words)}
    return msgspec.json.encode({"model": {"type": "BPE", "vocab": vocabulary, "merges": []}, "added_tokens": extra})


READS_500 = b'{"architectures": ["LlamaForCausalLM"], "vocab_size": 500}'


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        (READS_500, tokenizer(500)),
        # Models of text have tokens for images that never come.
        (READS_500, tokenizer(500, added=3)),
        (READS_500, b'{"model": {"type": "Unigram", "vocab": [["a", -1.5], ["b", -2.0]]}}'),
        (b'{"architectures": ["X"], "text_config": {"vocab_size": 500}}', tokenizer(500)),
        (b'{"architectures": ["X"], "vocab_size": "many"}', tokenizer(600)),
        (CONFIGURATION, tokenizer(600)),
    ],
)
def test_a_tokenizer_that_the_model_reads_is_taken(store: ArtifactStore, configuration: bytes, words: bytes) -> None:
    digest = indexed(store, config_json=configuration, tokenizer_json=words)

    assert inspected(store, digest, artifact_format="transformers").artifact.digest == digest


@pytest.mark.parametrize(
    ("configuration", "words", "reason"),
    [
        (READS_500, tokenizer(501), "writes tokens up to 500, but this one reads those below 500"),
        (b'{"architectures": ["X"], "text_config": {"vocab_size": 9}}', tokenizer(500), "those below 9"),
        (READS_500, b'{"model": {"type": "Unigram", "vocab": [' + b",".join([b'["a", 0]'] * 501) + b"]}}", "up to 500"),
        (READS_500, b"{", "tokenizer.json is not a valid tokenizer"),
        (READS_500, b"[]", "tokenizer.json is not a valid tokenizer"),
    ],
)
def test_the_tokenizer_of_another_model_is_refused(
    store: ArtifactStore, configuration: bytes, words: bytes, reason: str
) -> None:
    digest = indexed(store, config_json=configuration, tokenizer_json=words)

    with pytest.raises(NotAModelError) as refusal:
        inspected(store, digest, artifact_format="transformers")

    assert reason in refusal.value.detail
