"""What the gateway takes from an answer about keys."""

from pathlib import Path

import httpx

from serving.gateway.control_plane_client import ControlPlaneClient
from serving.gateway.routing_state import TokenRules

KNOWN = TokenRules(keys=({"kid": "old"},), revoked_subjects=("principal-1",), revoked_tokens=("one",))


async def rules_of(tmp_path: Path, answer: dict[str, object]) -> TokenRules:
    token_file = tmp_path / "token"
    token_file.write_text("rb_x")
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    async with ControlPlaneClient("http://api", token_file=token_file, transport=transport) as client:
        return await client.token_rules(known=KNOWN)


async def test_an_answer_to_a_service_says_all(tmp_path: Path) -> None:
    answer = {"workspace": "main", "version": 2, "keys": [{"kid": "new"}], "revoked_subjects": []}

    assert await rules_of(tmp_path, answer) == TokenRules(workspace="main", version=2, keys=({"kid": "new"},))


async def test_an_answer_to_anybody_lets_nobody_act_again(tmp_path: Path) -> None:
    answer = {"workspace": "default", "version": 2, "keys": [{"kid": "new"}], "revoked_subjects": [], "is_public": True}

    rules = await rules_of(tmp_path, answer)

    assert [key["kid"] for key in rules.keys] == ["new"]
    assert (rules.revoked_subjects, rules.revoked_tokens) == (("principal-1",), ("one",))
