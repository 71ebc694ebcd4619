import socket
from collections.abc import Iterator

import pytest

from infra.errors import PortTakenError
from infra.ports import free_ports, is_free, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_picked_ports_are_free_and_different() -> None:
    ports = free_ports(5)

    assert len(set(ports)) == 5
    assert all(is_free(port) for port in ports)


def test_a_taken_port_is_refused_with_its_purpose(taken: int) -> None:
    with pytest.raises(PortTakenError, match=f"port {taken}, needed for the API, is taken; stop"):
        require_free(taken, purpose="the API")
