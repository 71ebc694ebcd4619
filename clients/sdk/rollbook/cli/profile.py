"""Which control plane the command talks to, and as whom."""

from pathlib import Path

import click
import msgspec

from rollbook import Rollbook, RollbookError

DEFAULT_DATA_DIR = Path("rollbook-data")


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One program of a running stack, as the supervisor reports it."""

    name: str
    state: str
    pid: int | None = None
    addresses: tuple[str, ...] = ()
    metrics: str | None = None
    restarts: int = 0
    region: str = ""
    failing: tuple[str, ...] = ()
    """Work inside the program that met an error within the last minute and went on, as its metrics tell."""


class StackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor wrote last."""

    pid: int
    state: str
    programs: tuple[Program, ...] = ()
    reason: str | None = None

    def address(self, name: str) -> str | None:
        """Return the first address of a program, for example of `api`, or of `envoy`, the gateway."""
        return next((one.addresses[0] for one in self.programs if one.name == name and one.addresses), None)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The global options of a command line."""

    data_dir: Path
    url: str | None
    token: str | None
    as_json: bool

    def status(self) -> StackStatus | None:
        """Return the last status of the stack in the data directory, or None where there is none."""
        path = self.data_dir / "run" / "status.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=StackStatus) if path.exists() else None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RollbookError(f"{path} can't be read ({error}); start the stack again with `rollbook up`") from error

    def api_url(self) -> str:
        """Return the API's address: the option, else the stack in the data directory.

        Raises:
            RollbookError: neither says one.
        """
        status = None if self.url else self.status()
        url = self.url or (status.address("api") if status else None)
        if url is None:
            raise RollbookError(
                f"No control plane given: no stack runs in {self.data_dir}. "
                "Start one with `rollbook up`, or pass --url and --token.",
            )
        return url

    def gateway_url(self) -> str:
        """Return the address of the gateway of the stack in the data directory.

        Raises:
            RollbookError: none runs there.
        """
        status = self.status()
        address = status.address("envoy") if status else None
        if address is None:
            raise RollbookError(
                f"No gateway given: no stack runs in {self.data_dir}. Start one with `rollbook up`, or pass --gateway."
            )
        return address

    def client(self) -> Rollbook:
        """Return a client of the chosen control plane, with the chosen or the stack's own token."""
        return Rollbook(self.api_url(), token=self.token or self._stack_token())

    def _stack_token(self) -> str | None:
        path = self.data_dir / "secrets" / "admin.token"
        return path.read_text(encoding="utf-8-sig", errors="replace").strip() if path.exists() else None


pass_profile = click.make_pass_decorator(Profile)
