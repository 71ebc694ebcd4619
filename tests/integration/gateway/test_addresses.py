"""Where the gateway listens: for callers as it is told, for all else on loopback."""

import socket
from pathlib import Path

import httpx

from tests.support.gateway import GUARD_S, Gateway, serve_digits, serving_gateway
from tests.support.plain_http import NO_AUTHORITIES

INFER = "/v2/models/digits/infer"
ANOTHER_ADDRESS = "127.0.0.2"
"""Every machine has it beside the one that programs listen on unless they are told otherwise."""


async def test_callers_reach_a_gateway_on_every_address_and_its_admin_pages_on_loopback_alone(tmp_path: Path) -> None:
    async with serving_gateway(Gateway(tmp_path, host="0.0.0.0")) as gateway:
        await serve_digits(gateway)
        url = f"http://{ANOTHER_ADDRESS}:{gateway.ports.gateway}{INFER}"
        headers = {"authorization": f"Bearer {gateway.tokens.mint()}"}

        async with httpx.AsyncClient(timeout=GUARD_S, verify=NO_AUTHORITIES) as client:
            answer = await client.post(url, content=b"{}", headers=headers)

        assert answer.status_code == 200
        assert not is_open(gateway.ports.admin)
        assert not is_open(gateway.ports.ads)


async def test_a_gateway_that_is_told_nothing_is_on_loopback_alone(gateway: Gateway) -> None:
    assert not is_open(gateway.ports.gateway)


def is_open(port: int) -> bool:
    try:
        socket.create_connection((ANOTHER_ADDRESS, port), timeout=GUARD_S).close()
    except ConnectionRefusedError:
        return False
    return True
