"""How programs of the stack get their settings: by environment, each with its own prefix."""

from collections.abc import Mapping

from infra.data_directory import DataDirectory
from infra.launch import launched
from infra.stack.addresses import LOOPBACK
from infra.supervisor.plan import FileReady, ProgramSpec
from schemas.events.access import Duty


def with_ready_file(
    data: DataDirectory, program: str, own: Mapping[str, str], *, after: str, name: str = "", region: str = ""
) -> ProgramSpec:
    """Describe a program that says by a file that it is ready; of several of a kind each has a name of its own."""
    name = name or program
    path = data.run / f"{name}.ready"
    return ProgramSpec(
        name=name,
        argv=launched(program),
        environment=prefixed(program, {**own, "READY_FILE": str(path)}),
        depends_on=(after,),
        ready=FileReady(str(path)),
        region=region,
    )


def kind_of(program: ProgramSpec) -> str:
    """Return which program it runs; several of a kind have names of their own."""
    return program.argv[-1]


def prefixed(program: str, own: Mapping[str, str]) -> dict[str, str]:
    return {f"ROLLBOOK_{program.upper()}_{name}": value for name, value in own.items()}


def only(common: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: common[name] for name in names}


def token_of(data: DataDirectory, duty: Duty) -> dict[str, str]:
    """Name the file with the token of a program's own principal, which may do nothing beside its duty."""
    return {"TOKEN_FILE": str(data.root / "secrets" / f"{duty}.token")}


def kafka_of(common: Mapping[str, str]) -> tuple[str, ...]:
    """Name the settings of every Kafka client."""
    return tuple(name for name in common if name.startswith("KAFKA_"))


def url(port: int, path: str = "", *, host: str = LOOPBACK) -> str:
    return f"http://{host}:{port}{path}"
