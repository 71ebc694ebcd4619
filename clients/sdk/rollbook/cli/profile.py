"""Which control plane the command talks to, and as whom."""

from pathlib import Path

import click
import msgspec

from rollbook import Rollbook, RollbookError, _wire
from rollbook.local_stack import LocalStack, StackStatus


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The global options of a command line."""

    data_dir: Path
    url: str | None
    token: str | None
    workspace: str | None
    as_json: bool

    @property
    def stack(self) -> LocalStack:
        """The stack of the data directory."""
        return LocalStack(self.data_dir)

    def status(self) -> StackStatus | None:
        """Return the last status of the stack in the data directory, or None where there is none."""
        return self.stack.status()

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
        """Return the address of the gateway: that of the chosen control plane, else of the stack in the data directory.

        Raises:
            RollbookError: none runs there.
        """
        if self.url:
            with self.client() as rollbook:
                return rollbook.health.ready().gateway_url
        status = self.status()
        address = status.address("envoy") if status else None
        if address is None:
            raise RollbookError(
                f"No gateway given: no stack runs in {self.data_dir}. Start one with `rollbook up`, or pass --gateway."
            )
        return address

    def client(self) -> Rollbook:
        """Return a client of the chosen control plane, or of the stack with its own token.

        The stack's token never leaves this machine.
        """
        url = self.api_url()
        is_here = not self.url or _wire.is_on_this_machine(self.url)
        token = self.token or (self.stack.token() if is_here else None)
        return Rollbook(url, token=token, workspace=self.workspace)


pass_profile = click.make_pass_decorator(Profile)
