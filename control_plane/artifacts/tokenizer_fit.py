"""Says whether a tokenizer writes tokens that the model beside it can read."""

from typing import BinaryIO

import msgspec

TOKENIZER = "tokenizer.json"
MAX_TOKENIZER_BYTES = 64 * 1024**2


class _Vocabulary(msgspec.Struct, frozen=True):
    vocab: dict[str, int] | list[tuple[str, float]] = {}


class _Tokenizer(msgspec.Struct, frozen=True):
    model: _Vocabulary


class _TextConfiguration(msgspec.Struct, frozen=True):
    vocab_size: int | None = None


class _Configuration(msgspec.Struct, frozen=True):
    vocab_size: int | None = None
    text_config: _TextConfiguration | None = None


def check_tokenizer(tokenizer: BinaryIO, configuration: BinaryIO) -> None:
    """Refuse a tokenizer whose own vocabulary is larger than the model's.

    Added tokens are left out: models of text carry some for images, which never come.

    Raises:
        ValueError: the message is one sentence.
    """
    content = tokenizer.read(MAX_TOKENIZER_BYTES + 1)
    if len(content) > MAX_TOKENIZER_BYTES:
        raise ValueError(f"{TOKENIZER} is larger than {MAX_TOKENIZER_BYTES} bytes")
    try:
        read = msgspec.json.decode(content, type=_Tokenizer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{TOKENIZER} is not a valid tokenizer: {error}") from error
    model = _vocabulary_of(configuration)
    words = read.model.vocab
    largest = max(words.values(), default=-1) if isinstance(words, dict) else len(words) - 1
    if model is not None and largest >= model:
        raise ValueError(
            f"{TOKENIZER} is that of another model: it writes tokens up to {largest}, but this one reads those "
            f"below {model}"
        )


def _vocabulary_of(configuration: BinaryIO) -> int | None:
    try:
        read = msgspec.json.decode(configuration.read(), type=_Configuration)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Whatever an architecture means by these fields is for the engine to say.
        return None
    return read.vocab_size or (read.text_config.vocab_size if read.text_config else None)
