"""An engine that speaks OpenAI's API: vLLM, or an external server behind the relay.

The first input of a language model's golden example is texts. The most likely completion has to begin with an expected
text; expected numbers are the embedding of the first text.
"""

import msgspec

from schemas.events.registry import GoldenExample
from workers.serving_agent.engine_client import (
    UNREADABLE,
    EngineIdentity,
    are_equal,
    ask_golden,
    ask_identity,
    connection,
    shortened,
    succeeds,
    wrong_answer,
)

_MAX_TOKENS = 64


class _Choice(msgspec.Struct, frozen=True):
    text: str
    index: int = 0


class _Completion(msgspec.Struct, frozen=True):
    choices: tuple[_Choice, ...]


class _Embedding(msgspec.Struct, frozen=True):
    embedding: tuple[float, ...]


class _Embeddings(msgspec.Struct, frozen=True):
    data: tuple[_Embedding, ...]


class OpenAiClient:
    """Implements EngineClient."""

    def __init__(self, *, host: str, port: int) -> None:
        self._client = connection(host=host, port=port)

    async def close(self) -> None:
        await self._client.aclose()

    async def identity(self) -> EngineIdentity:
        return await ask_identity(self._client)

    async def is_ready(self) -> bool:
        return await succeeds(self._client, "/health")

    async def is_live(self) -> bool:
        return await succeeds(self._client, "/health")

    async def check_golden(self, model: str, golden: GoldenExample) -> None:
        texts = tuple(str(value) for value in golden.inputs[0].data)
        for name, expected in golden.outputs.items():
            if all(isinstance(value, str) for value in expected):
                await self._check_completions(model, name, texts, tuple(map(str, expected)))
            else:
                given = await self._embedding(model, texts[0])
                if not are_equal(given, expected, tolerance=golden.tolerance):
                    raise wrong_answer(f"output {name!r} should be {shortened(expected)} but is {shortened(given)}")

    async def _check_completions(
        self, model: str, name: str, prompts: tuple[str, ...], expected: tuple[str, ...]
    ) -> None:
        # A token is at least one byte, so no more tokens than bytes are needed.
        tokens = min(_MAX_TOKENS, max((len(text.encode()) for text in expected), default=0) or 1)
        body = {"model": model, "prompt": prompts, "max_tokens": tokens, "temperature": 0}
        content = await ask_golden(self._client, "/v1/completions", body)
        try:
            choices = msgspec.json.decode(content, type=_Completion).choices
        except UNREADABLE as error:
            raise wrong_answer(f"the engine's answer is not a completion: {error}") from error
        given = tuple(choice.text for choice in sorted(choices, key=lambda choice: choice.index))
        is_right = len(given) == len(expected) and all(map(str.startswith, given, expected))
        if not is_right:
            raise wrong_answer(f"output {name!r} should begin with {shortened(expected)} but is {shortened(given)}")

    async def _embedding(self, model: str, text: str) -> tuple[float, ...]:
        content = await ask_golden(self._client, "/v1/embeddings", {"model": model, "input": text})
        try:
            return msgspec.json.decode(content, type=_Embeddings).data[0].embedding
        except (*UNREADABLE, IndexError) as error:
            raise wrong_answer(f"the engine's answer is not an embedding: {error}") from error
