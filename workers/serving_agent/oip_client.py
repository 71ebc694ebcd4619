"""An engine that speaks the Open Inference Protocol: our runtime, or an external server behind the relay."""

from typing import Any

import msgspec

from schemas.events.registry import GoldenExample, GoldenInput
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


class _Output(msgspec.Struct, frozen=True):
    name: str
    data: tuple[bool | int | float | str, ...]


class _InferAnswer(msgspec.Struct, frozen=True):
    outputs: tuple[_Output, ...]


class OipClient:
    """Implements EngineClient."""

    def __init__(self, *, host: str, port: int) -> None:
        self._client = connection(host=host, port=port)

    async def close(self) -> None:
        await self._client.aclose()

    async def identity(self) -> EngineIdentity:
        return await ask_identity(self._client)

    async def is_ready(self) -> bool:
        return await succeeds(self._client, "/v2/health/ready")

    async def is_live(self) -> bool:
        return await succeeds(self._client, "/v2/health/live")

    async def check_golden(self, model: str, golden: GoldenExample) -> None:
        body = {"inputs": [_tensor(tensor) for tensor in golden.inputs]}
        content = await ask_golden(self._client, f"/v2/models/{model}/infer", body)
        try:
            outputs = msgspec.json.decode(content, type=_InferAnswer).outputs
        except UNREADABLE as error:
            raise wrong_answer(f"the engine's answer does not follow the protocol: {error}") from error
        given = {output.name: output.data for output in outputs}
        for name, expected in golden.outputs.items():
            if not are_equal(given.get(name, ()), expected, tolerance=golden.tolerance):
                found = shortened(given.get(name, ()))
                raise wrong_answer(f"output {name!r} should be {shortened(expected)} but is {found}")


def _tensor(tensor: GoldenInput) -> dict[str, Any]:
    fields = msgspec.structs.asdict(tensor)
    if tensor.datatype.startswith(("INT", "UINT")):
        # JSON may have turned 3 into 3.0 on its way through the log, and the engine is strict about it.
        fields["data"] = tuple(int(value) for value in tensor.data)
    return fields
