"""A small language model behind OpenAI's API, as a server that was there before us.

`python -m tests.support.text_server PORT`. It continues a text letter by letter as the project's own documentation
does: the next letter is drawn from those that followed the same six. Answers completions, whole or streamed, and the
list of its one model.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

MODEL = "documentation"
_MEMORY = 6
_DOCS = Path(__file__).parents[2] / "docs"
_MAX_LETTERS = 200
_Followers = dict[str, str]


def learnt() -> _Followers:
    """Return, for each six letters in a row, the letters that followed them."""
    followers: dict[str, list[str]] = defaultdict(list)
    for page in sorted(_DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for at in range(len(text) - _MEMORY):
            followers[text[at : at + _MEMORY]].append(text[at + _MEMORY])
    return {seen: "".join(letters) for seen, letters in followers.items()}


def continued(followers: _Followers, prompt: str, letters: int) -> Iterator[str]:
    """Yield what follows; the same for the same prompt."""
    draw = random.Random(prompt)
    seen = prompt[-_MEMORY:]
    for _ in range(letters):
        letter = draw.choice(followers.get(seen) or " e")
        yield letter
        seen = (seen + letter)[-_MEMORY:]


class TextServer:
    """The routes."""

    def __init__(self, followers: _Followers) -> None:
        self._followers = followers

    async def models(self, _request: web.Request) -> web.Response:
        """List the one model."""
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Continue a prompt."""
        asked = await request.json()
        if asked.get("model") != MODEL:
            return web.json_response({"error": {"message": "no such model", "code": "model_not_found"}}, status=404)
        letters = min(int(asked.get("max_tokens", 16)), _MAX_LETTERS)
        text = continued(self._followers, str(asked["prompt"]), letters)
        if asked.get("stream"):
            return await self._stream(request, text)
        return web.json_response(_completion("".join(text), usage=letters))

    async def _stream(self, request: web.Request, text: Iterator[str]) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for letter in text:
            await answer.write(b"data: " + json.dumps(_completion(letter)).encode() + b"\n\n")
        await answer.write(b"data: [DONE]\n\n")
        await answer.write_eof()
        return answer


def _completion(text: str, *, usage: int | None = None) -> dict[str, object]:
    choice = {"index": 0, "text": text, "finish_reason": None if usage is None else "length"}
    document: dict[str, object] = {"id": "cmpl", "object": "text_completion", "model": MODEL, "choices": [choice]}
    if usage is not None:
        document["usage"] = {"prompt_tokens": _MEMORY, "completion_tokens": usage, "total_tokens": _MEMORY + usage}
    return document


def main() -> int:
    """Serve until ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.text_server")
    parser.add_argument("port", type=int)
    server, app = TextServer(learnt()), web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/completions", server.complete)
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port, print=None, access_log=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
