"""What the control plane says of our token, or of the moment, says nothing about a batch."""

from pathlib import Path

import httpx
import pytest

from workers.batch_server.control_plane import ControlPlane
from workers.batch_server.errors import PartAwayError, RefusedError


async def minting(answer: httpx.Response, folder: Path) -> None:
    (folder / "token").write_text("secret")
    transport = httpx.MockTransport(lambda _: answer)
    plane = ControlPlane("http://api", token_file=folder / "token", transport=transport)
    try:
        await plane.token("batch")
    finally:
        await plane.close()


@pytest.mark.parametrize("status", [401, 408, 429, 500, 503])
async def test_what_may_pass_is_tried_again(status: int, tmp_path: Path) -> None:
    with pytest.raises(PartAwayError, match=str(status)):
        await minting(httpx.Response(status, json={"code": "not-now"}), tmp_path)


async def test_a_refusal_is_told_with_its_code(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="may not") as error:
        await minting(httpx.Response(403, json={"detail": "may not", "code": "batch-owner-may-not-act"}), tmp_path)

    assert (error.value.code, error.value.status) == ("batch-owner-may-not-act", 403)
