"""An endpoint behind its gateway, as a batch job asks it to score rows."""

import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import msgspec

from rollbook.batch.errors import BadInput
from rollbook.inference.tensors import Array, TensorSpec
from rollbook.inference.wire import HEADER_LENGTH, UnreadableAnswer, outputs_of, request_of
from rollbook.patient_gateway import PatientGateway, Refused


class Scored(msgspec.Struct, frozen=True):
    """The outputs for some rows, and who gave them."""

    outputs: dict[str, Array]
    version: str
    prediction_id: str
    took_s: float


class _Metadata(msgspec.Struct, frozen=True):
    inputs: list[TensorSpec]


class ScoredEndpoint:
    """One endpoint. `mint` makes an inference token, whenever one is needed.

    Raises:
        BadInput: no endpoint can have this name.
        RollbookError: the gateway's address is none.
    """

    def __init__(self, gateway: str, endpoint: str, *, mint: Callable[[], str], give_up_after_s: float) -> None:
        if not (endpoint.isascii() and endpoint.isprintable()):
            # No endpoint has such a name, and no header carries it.
            raise BadInput(f"{endpoint!r} is not the name of an endpoint; see `rollbook endpoint list`")
        self._name = endpoint
        self._path = f"/v2/models/{quote(endpoint, safe='')}"
        self._gateway = PatientGateway(
            gateway,
            endpoint,
            mint=mint,
            give_up_after_s=give_up_after_s,
            then="run the same command again to continue",
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._gateway.close()

    async def inputs(self) -> list[TensorSpec]:
        """Return what the model takes.

        Raises:
            BadInput: the endpoint has no model with tensors.
            GaveUp: it does not answer, or refuses.
        """
        answer = await self._gateway.ask("GET", self._path)
        try:
            return msgspec.json.decode(answer.content, type=_Metadata).inputs
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{self._name} has no tensors of the Open Inference Protocol: {error}") from error

    async def score(self, tensors: Mapping[str, Array], specs: Sequence[TensorSpec], *, rows: int) -> Scored:
        """Have rows scored, as long as that takes within the limit.

        Raises:
            Refused: some of the rows are at fault.
            TooLarge: fewer must be sent at a time.
            GaveUp: the endpoint does not answer, or refuses everything.
        """
        body, headers = request_of(tensors, specs)
        headers |= {"x-rollbook-endpoint": self._name, "x-rollbook-priority": "batch"}
        began = time.monotonic()
        answer = await self._gateway.ask("POST", f"{self._path}/infer", content=body, headers=headers)
        length = answer.headers.get(HEADER_LENGTH)
        try:
            outputs = outputs_of(answer.content, json_bytes=int(length) if length else None, rows=rows)
        except UnreadableAnswer as error:
            raise Refused(str(error)) from error
        return Scored(
            outputs,
            answer.headers.get("x-rollbook-version", ""),
            answer.headers.get("x-prediction-id", ""),
            time.monotonic() - began,
        )
