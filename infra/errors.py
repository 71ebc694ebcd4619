"""Failures of the infrastructure that every program uses.

InfraError
├── CannotStartError          a person must change something; one sentence says what
│   ├── InvalidSettingsError  an environment variable is missing, wrong or unknown
│   ├── DataDirectoryError    the data directory cannot be used
│   ├── StackAlreadyRunningError
│   ├── SecretFileError        a file with a secret is missing or unusable (of secret_files)
│   └── PortTakenError
├── AddressNotGrantedError    a connection would go to an address that is neither public nor granted
├── TokenUnreadableError      the file with a program's own token is missing or holds something else
├── LogAwayError              the log cannot be read now; trying again may help
├── TopicDriftError           a topic exists with another shape than the caller asks for
└── MigrationError            a migration was edited, is missing or failed
"""

from collections.abc import Mapping


class InfraError(Exception):
    """Base of this tree; the message is for a person."""


class CannotStartError(InfraError):
    """A program cannot start until a person changes something.

    The message is one sentence with the remedy in it. Programs end with
    ``EXIT_CANNOT_START`` and are not restarted, as a second try meets the same.
    """


class InvalidSettingsError(CannotStartError):
    """One or more settings are missing, malformed or unknown."""


class DataDirectoryError(CannotStartError):
    """The data directory is missing rights, space, or has another format."""


class StackAlreadyRunningError(CannotStartError):
    """Another supervisor holds the data directory."""

    def __init__(self, *, directory: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"a stack is already running on {directory} ({holder}); "
            "stop it with `rollbook down` or choose another data directory"
        )
        self.pid = pid


class PortTakenError(CannotStartError):
    """A port that was asked for by number belongs to somebody else."""

    def __init__(self, *, port: int, purpose: str) -> None:
        super().__init__(
            f"port {port}, needed for {purpose}, is taken; stop the program that listens there or choose another port"
        )
        self.port = port


class AddressNotGrantedError(InfraError, OSError):
    """A host is at addresses that are neither public nor granted; nothing was sent there.

    It is an OSError too, so that clients take it for a connection that failed.
    """

    def __init__(self, host: str, found: Mapping[str, str]) -> None:
        addresses = " and ".join(f"{address} ({kind})" for address, kind in found.items())
        where = addresses if host in found else f"{host} is at {addresses}, which"
        super().__init__(f"{where} is neither public nor granted")
        self.host = host
        self.addresses = tuple(found)


class TokenUnreadableError(InfraError, OSError):
    """A program cannot call the API until its token file is back.

    It is an OSError too, so that clients take it for a connection that failed.
    """


class LogAwayError(InfraError):
    """Kafka does not give out the log now."""


class TopicDriftError(InfraError):
    """A topic exists, but not with the partitions or settings asked for."""


class MigrationError(InfraError):
    """The numbered migrations and what the database remembers do not fit."""


EXIT_CANNOT_START = 78
"""EX_CONFIG of sysexits.h: the supervisor does not restart after it."""
