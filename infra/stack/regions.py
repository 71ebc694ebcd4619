"""The regions of a stack on one machine: each has a gateway, with what configures and records it, and an agent."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from infra.data_directory import DataDirectory, write_atomically
from infra.errors import CannotStartError
from infra.launch import launched
from infra.stack.addresses import Hosts
from infra.stack.program_settings import kafka_of, only, prefixed, token_of, url, with_ready_file
from infra.supervisor.plan import HttpReady, ProgramSpec

LOCAL = "local"
MAX_BODY_BYTES = 33_554_432
_MAX_REGIONS = 8
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_FIRST_GATEWAY_PORT = 8090
_PORTS = ("gateway", "ads", "envoy_admin", "follower_metrics", "shipper_metrics", "agent_metrics")


def settled_regions(data: DataDirectory, asked: str | None) -> tuple[str, ...]:
    """Return the regions of a data directory: those asked for, which are kept, else those of the last time.

    A region is never dropped: its instances would be counted on, and no one would be there to withdraw them.
    """
    path = data.root / "regions.json"
    known = _known(path, data)
    if asked is None:
        return known or (LOCAL,)
    regions = tuple(name.strip() for name in asked.split(","))
    wrong = next((name for name in regions if not _NAME.fullmatch(name)), None)
    if wrong is not None or len(set(regions)) < len(regions) or len(regions) > _MAX_REGIONS:
        raise CannotStartError(
            f"{asked!r} are not valid regions; name at most {_MAX_REGIONS}, each once, in lower-case letters, "
            "digits and dashes, "
            "separated by commas"
        )
    if gone := sorted(set(known) - set(regions)):
        raise CannotStartError(
            f"the data directory was begun with the region {gone[0]}, which cannot be removed; name it as well, "
            "or use another directory"
        )
    write_atomically(path, msgspec.json.encode(regions))
    return regions


def preferred_ports(regions: Sequence[str]) -> dict[str, int | None]:
    """Return the ports that the regions need, with a number where one is nice to have."""
    return {
        _port_name(name, region, is_home=number == 0): _FIRST_GATEWAY_PORT + number if name == "gateway" else None
        for number, region in enumerate(regions)
        for name in _PORTS
    }


def admin_ports(regions: Sequence[str], ports: Mapping[str, int]) -> tuple[int, ...]:
    """Return where the gateways of all regions show their state."""
    names = (_port_name("envoy_admin", region, is_home=number == 0) for number, region in enumerate(regions))
    return tuple(ports[name] for name in names)


def programs_of_region(
    data: DataDirectory,
    region: str,
    ports: Mapping[str, int],
    common: Mapping[str, str],
    *,
    hosts: Hosts,
    is_home: bool,
) -> tuple[ProgramSpec, ...]:
    """Write the plan of one region; the programs of the home region have plain names."""
    common = {**common, "REGION": region}
    own = {name: str(ports[_port_name(name, region, is_home=is_home)]) for name in _PORTS}

    def named(program: str) -> str:
        return program if is_home else f"{program}-{region}"

    follower = {
        **only(common, "DATA_DIR", "API_URL", *kafka_of(common), "REGION"),
        **token_of(data, "gateway"),
        "ADS_PORT": own["ads"],
        "ENVOY_HOST": str(hosts.bind),
        "ENVOY_PORT": own["gateway"],
        "ENVOY_ADMIN_PORT": own["envoy_admin"],
        "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
    }
    agent = {
        **only(common, "DATA_DIR", "API_URL", *kafka_of(common), "REGION"),
        **token_of(data, "agent"),
        "AGENT_ID": region,
        "ZONE": region,
        "BIND_HOST": str(hosts.bind),
        "ADVERTISED_HOST": hosts.announced,
        # Engines outlive their agent and end with the supervisor.
        "SUPERVISOR_PID": str(os.getpid()),
    }
    shipper = {
        **only(common, "DATA_DIR", *kafka_of(common), "REGION"),
        "ENVOY_ADMIN_PORT": own["envoy_admin"],
    }
    after = named("follower")
    return (
        with_ready_file(data, "follower", follower, after="relay", name=after, region=region),
        _gateway(common, own, hosts=hosts, name=named("envoy"), after=after),
        with_ready_file(data, "shipper", shipper, after=after, name=named("shipper"), region=region),
        with_ready_file(data, "agent", agent, after=after, name=named("agent"), region=region),
    )


def _gateway(common: Mapping[str, str], own: Mapping[str, str], *, hosts: Hosts, name: str, after: str) -> ProgramSpec:
    envoy = {
        **only(common, "DATA_DIR", "REGION"),
        "HOST": str(hosts.bind),
        "PORT": own["gateway"],
        "ADMIN_PORT": own["envoy_admin"],
        "ADS_PORT": own["ads"],
        "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
    }
    return ProgramSpec(
        name=name,
        argv=launched("envoy"),
        environment=prefixed("envoy", envoy),
        depends_on=(after,),
        ready=HttpReady(url(int(own["envoy_admin"]), "/ready")),
        addresses=(url(int(own["gateway"]), host=hosts.announced),),
        region=common["REGION"],
    )


def _known(path: Path, data: DataDirectory) -> tuple[str, ...]:
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=tuple[str, ...])
    # Directories that were begun before regions had names.
    return (LOCAL,) if (data.root / "agent" / LOCAL).exists() else ()


def _port_name(name: str, region: str, *, is_home: bool) -> str:
    return name if is_home else f"{name}-{region}"
