import socket
from pathlib import Path

import pytest

from infra.errors import PortTakenError
from infra.ports import free_port
from infra.stack.port_book import WantedPort, assign_ports


def test_ports_are_chosen_once_and_kept(tmp_path: Path) -> None:
    wanted = {"api": WantedPort(), "kafka": WantedPort()}

    first = assign_ports(tmp_path / "ports.json", wanted)

    assert len(set(first.values())) == 2
    assert assign_ports(tmp_path / "ports.json", wanted) == first


def test_a_preferred_port_is_had_when_it_is_free(tmp_path: Path) -> None:
    port = free_port()

    assert assign_ports(tmp_path / "ports.json", {"api": WantedPort(preferred=port)}) == {"api": port}


def test_a_preferred_port_that_is_taken_is_let_go(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]

        assert assign_ports(tmp_path / "ports.json", {"api": WantedPort(preferred=taken)})["api"] != taken


def test_a_fixed_port_that_is_taken_is_refused_with_its_purpose(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]

        with pytest.raises(PortTakenError, match=f"port {taken}, needed for api, is taken"):
            assign_ports(tmp_path / "ports.json", {"api": WantedPort(fixed=taken)})
