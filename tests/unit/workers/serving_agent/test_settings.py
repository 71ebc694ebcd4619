"""What the agent's operator sets, and is told of a value that cannot be meant."""

from ipaddress import ip_address

import pytest

from infra.errors import InvalidSettingsError
from infra.settings import load_settings
from workers.serving_agent.settings import PREFIX, AgentSettings

NEEDED = {"DATA_DIR": "/d", "API_URL": "http://a", "TOKEN_FILE": "/t", "KAFKA_BOOTSTRAP": "k:1", "READY_FILE": "/r"}


def load(**more: str) -> AgentSettings:
    variables = {**NEEDED, **more}
    return load_settings(AgentSettings, PREFIX, {PREFIX + name: value for name, value in variables.items()})


def test_no_network_is_granted_unless_said() -> None:
    assert not load().external_networks


def test_granted_networks_are_separated_by_commas() -> None:
    granted = load(EXTERNAL_NETWORKS="10.2.0.0/16, fd00::/8").external_networks

    assert [granted.allow(ip_address(one)) for one in ("10.2.0.1", "fd12::1", "10.3.0.1")] == [True, True, False]


@pytest.mark.parametrize("value", ["10.2.0.0/33", "10.2.3.4/16", "localhost"])
def test_a_network_that_is_none_is_told_with_its_setting_and_value(value: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"ROLLBOOK_AGENT_EXTERNAL_NETWORKS does not fit .*'{value}'"):
        load(EXTERNAL_NETWORKS=value)


def test_each_workspace_has_credentials_of_its_own() -> None:
    of_default, of_acme = (load().credentials_of(name) for name in ("default", "acme"))
    renamed = load(HOME_WORKSPACE="acme", CREDENTIALS_DIR="/c")

    assert (str(of_default), str(of_acme)) == ("/d/secrets/engines", "/d/secrets/engines/workspaces/acme")
    assert (str(renamed.credentials_of("acme")), str(renamed.credentials_of("default"))) == (
        "/c",
        "/c/workspaces/default",
    )
