"""How a client reaches Kafka: where, by which protocol, and as whom. Programs embed it in their settings as `kafka`."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from infra.settings import load_settings

PREFIX = "ROLLBOOK_KAFKA_"

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaFilesError(KafkaError):  # type: ignore[misc]  # aiokafka has no annotations
    """A file that was there at the start cannot be read now. Whoever waits for Kafka waits for it too."""


class KafkaConnection(msgspec.Struct, frozen=True, kw_only=True):
    """The variables of a program that begin with KAFKA_."""

    bootstrap: Annotated[str, msgspec.Meta(description="Kafka's address, HOST:PORT; several with commas between them")]
    security_protocol: Annotated[Protocol, msgspec.Meta(description="protocol for Kafka")] = "PLAINTEXT"
    sasl_mechanism: Annotated[Mechanism, msgspec.Meta(description="SASL mechanism")] = "PLAIN"
    user: Annotated[str | None, msgspec.Meta(description="SASL user")] = None
    password_file: Annotated[Path | None, msgspec.Meta(description="file with the SASL user's password")] = None
    ca_file: Annotated[Path | None, msgspec.Meta(description="CA certificates for Kafka; defaults to the system's")] = (
        None
    )
    replication_factor: Annotated[
        int,
        msgspec.Meta(ge=1, description="replicas of each topic that the API creates; at most the number of brokers"),
    ] = 1

    def __post_init__(self) -> None:
        """Refuse an incomplete user, a user without authentication, and missing files."""
        if self.has_user and (self.user is None or self.password_file is None):
            missing = "USER" if self.user is None else "PASSWORD_FILE"
            raise ValueError(f"{missing} is not set, but SECURITY_PROTOCOL {self.security_protocol} needs it")
        if not self.has_user and (self.user or self.password_file):
            raise ValueError(f"SECURITY_PROTOCOL {self.security_protocol} has no user; set SASL_SSL or unset the user")
        if not self.has_tls and self.ca_file:
            raise ValueError(f"CA_FILE is set, but SECURITY_PROTOCOL {self.security_protocol} uses no certificates")
        for name, path in (("PASSWORD_FILE", self.password_file), ("CA_FILE", self.ca_file)):
            if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
                raise ValueError(
                    f"{name} is {path}, which is not a readable file; name another, or fix its permissions"
                )

    @property
    def has_user(self) -> bool:
        """Return whether Kafka asks who is calling."""
        return self.security_protocol.startswith("SASL")

    @property
    def has_tls(self) -> bool:
        """Return whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def variables(self) -> dict[str, str]:
        """Return the settings that differ from their defaults, as programs read them."""
        fields = msgspec.structs.fields(self)
        values = {field.name.upper(): getattr(self, field.name) for field in fields}
        return {
            name: str(value)
            for (name, value), field in zip(values.items(), fields, strict=True)
            if value != field.default
        }

    def client_options(self) -> dict[str, Any]:
        """Return what every client of aiokafka is built with; the files are read now.

        Raises:
            KafkaFilesError: a file cannot be read.
        """
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.security_protocol}
        if self.has_tls:
            options["ssl_context"] = self.ssl_context()
        if self.has_user:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password(),
            }
        return options

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context that trusts the certificates of `ca_file`, or those of the system."""
        try:
            context: ssl.SSLContext = create_ssl_context(cafile=str(self.ca_file) if self.ca_file else None)
            return context
        except (OSError, ssl.SSLError) as error:
            raise KafkaFilesError(f"the certificates of Kafka in {self.ca_file} cannot be read: {error}") from error

    def password(self) -> str:
        """Return the user's password."""
        assert self.password_file is not None, "a user needs a password"
        try:
            return self.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KafkaFilesError(f"Kafka's password in {self.password_file} cannot be read: {error}") from error


def connection_in(environ: Mapping[str, str], *, bootstrap: str) -> KafkaConnection:
    """Return how a command reaches Kafka that a person runs: as ROLLBOOK_KAFKA_… says, at a given address."""
    names = {f"{PREFIX}{field.upper()}" for field in KafkaConnection.__struct_fields__}
    own = {name: value for name, value in environ.items() if name in names}
    return load_settings(KafkaConnection, PREFIX, {**own, f"{PREFIX}BOOTSTRAP": bootstrap})
