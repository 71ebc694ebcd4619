"""Calls a gateway with OpenAI's own client, unmodified, and writes what came as JSON. Runs in vLLM's environment."""

import asyncio
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import openai
from openai.types.chat.chat_completion import Choice

MAX_BYTES = 32 * 1024**2
SEEDS = 16
MESSAGES: Any = [{"role": "user", "content": "Return the"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"number": {"type": "integer", "minimum": 0, "maximum": 9}},
            "required": ["number"],
            "additionalProperties": False,
        },
    },
}
SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {"name": "digit", "schema": TOOL["function"]["parameters"]},
}


def main() -> int:
    url, token, narrow = sys.argv[1:4]
    with openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=180) as client:
        found = {
            "models": [model.id for model in client.models.list()],
            **_whole(client),
            **_refusals(client, url, narrow),
        }
        found["sync_stream"] = _streamed(client)
    found["async"] = asyncio.run(_asynchronous(url, token))
    sys.stdout.write(json.dumps(found))
    return 0


def _whole(client: openai.OpenAI) -> dict[str, Any]:
    raw = client.chat.completions.with_raw_response.create(
        model="story", messages=MESSAGES, max_tokens=8, temperature=0
    )
    chat = raw.parse()
    pinned = client.completions.create(model="story@1", prompt="Return the", max_tokens=4, temperature=0)
    aliased = client.completions.with_raw_response.create(model="story:champion", prompt="Return the", max_tokens=4)
    shaped = _ended(client, {"response_format": SCHEMA})
    choice: Any = {"type": "function", "function": {"name": "look_up"}}
    calls: Any = _ended(client, {"tools": [TOOL], "tool_choice": choice}).message.tool_calls
    response = client.responses.create(model="story", input="Return the", max_output_tokens=16, temperature=0)
    return {
        "shown": client.models.retrieve("story").id,
        "headers": dict(raw.headers),
        "fingerprint": chat.system_fingerprint,
        "id": chat.id,
        "usage": chat.usage.model_dump() if chat.usage else None,
        "content": chat.choices[0].message.content,
        "aliased": [aliased.parse().model, dict(aliased.headers)["x-rollbook-version"]],
        "pinned": [pinned.model, pinned.choices[0].text],
        "shaped": shaped.message.content,
        "tool": [calls[0].function.name, calls[0].function.arguments],
        "response": response.output_text,
    }


def _ended(client: openai.OpenAI, asked: dict[str, Any]) -> Choice:
    """The first choice that ended by itself: JSON may begin with white space; a small model may write just that."""
    for seed in range(SEEDS):
        answer = client.chat.completions.create(model="story", messages=MESSAGES, max_tokens=60, seed=seed, **asked)
        choice: Choice = answer.choices[0]
        if choice.finish_reason != "length":
            return choice
    raise AssertionError(f"no answer of {SEEDS} ended within 60 tokens: {choice}")


def _streamed(client: openai.OpenAI) -> dict[str, Any]:
    stream = client.chat.completions.create(model="story", messages=MESSAGES, max_tokens=12, temperature=0, stream=True)
    chunks = list(stream)
    return {
        "id": chunks[0].id,
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "finish": chunks[-1].choices[0].finish_reason,
        "usages": [chunk.usage is not None for chunk in chunks].count(True),
    }


def _refusals(client: openai.OpenAI, url: str, narrow: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-nonsense", max_retries=0)
    outsider = openai.OpenAI(base_url=f"{url}/v1", api_key=narrow, max_retries=0)
    for name, caller, model, max_tokens in (
        ("scope", outsider, "story", 4),
        ("idle", client, "idle", 4),
        ("unknown", client, "nothing", 4),
        ("version", client, "story@9", 4),
        ("alias", client, "story:chalenger", 4),
        ("key", stranger, "story", 4),
        ("tokens", client, "story", 100_000),
    ):
        try:
            caller.chat.completions.create(model=model, messages=MESSAGES, max_tokens=max_tokens)
        except openai.APIStatusError as error:
            found[name] = [type(error).__name__, error.status_code, error.code]
    odd = {"name": "f", "parameters": {"type": "object", "properties": 7}}
    none = {"name": "s", "schema": {"type": "objekt"}}
    prompts: dict[str, dict[str, Any]] = {
        "large": {"prompt": "x" * MAX_BYTES},
        "ten_megabytes": {"prompt": "word " * (2 * 1024**2)},
        "overflow": {"prompt": "word " * 700, "stream": True},
    }
    chats: dict[str, dict[str, Any]] = {
        "tool_without_function": {"tools": [{"type": "function"}]},
        "tool_of_no_schema": {"tools": [{"type": "function", "function": odd}], "tool_choice": "required"},
        "schema_of_no_type": {"response_format": {"type": "json_schema", "json_schema": none}},
    }
    shared: dict[str, Any] = {"model": "story", "messages": MESSAGES, "max_tokens": 8, "stream": True}
    for name, asked in prompts.items():
        found[name] = _refusal(partial(client.completions.create, model="story", **asked))
    for name, asked in chats.items():
        found[name] = _refusal(partial(client.chat.completions.create, **shared, **asked))
    found["afterwards"] = client.completions.create(model="story", prompt="Return the", max_tokens=2).model
    stranger.close()
    outsider.close()
    return {"refusals": found}


def _refusal(ask: Callable[[], Any]) -> list[Any]:
    """Read a stream or an answer, and return how it was refused: the error's class, status and code."""
    try:
        for _ in ask():
            pass
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]
    except openai.APIError as error:
        return [type(error).__name__, 0, error.code]
    return ["answered", 200, None]


async def _asynchronous(url: str, token: str) -> dict[str, Any]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=180) as client:
        answers = await asyncio.gather(
            *(
                client.completions.create(model="story", prompt="Return the", max_tokens=6, temperature=0)
                for _ in range(8)
            )
        )
        # Left in the middle: the connection is closed while tokens still come.
        stream = await client.completions.create(
            model="story", prompt="Return the", max_tokens=400, stream=True, extra_body={"ignore_eos": True}
        )
        began = ""
        async for chunk in stream:
            began = began or chunk.id
            break
        await stream.close()
        return {"texts": [answer.choices[0].text for answer in answers], "left": began}


if __name__ == "__main__":
    sys.exit(main())
