"""Row policies of the embedded server: read from CREATE ROW POLICY, kept in a file, and given to chDB when it opens.

chDB runs everything as one user and stores no policies of its own. It takes row filters from a users file, which it
reads once, when the first connection opens its folder.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias
from xml.sax.saxutils import escape

import msgspec

from infra.clickhouse.http_errors import ClickHouseError, code_of
from infra.data_directory import write_atomically

_STATEMENT = re.compile(rb"\s*create\s+(row\s+)?policy\b", re.IGNORECASE)
# As ClickHouse's own formatter writes it. Names in backticks could not be elements of XML.
_CANONICAL = re.compile(
    r"CREATE ROW POLICY (?P<mode>OR REPLACE |IF NOT EXISTS )?(?P<name>\w+) ON (?P<tables>[\w.]+(?:, [\w.]+)*)"
    r"(?: AS (?P<kind>permissive|restrictive))?(?: FOR SELECT)? USING (?P<condition>.+) TO ALL",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)
_TABLE = re.compile(r"(?:(?P<database>[A-Za-z_]\w*)\.)?(?P<table>[A-Za-z_]\w*)", re.ASCII)
# The user is chDB's own, but for the right to see policies.
_USERS = """<clickhouse>
  <profiles><default/></profiles>
  <users><default>
    <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
    <access_management>1</access_management>
    <databases>{databases}</databases>
  </default></users>
  <quotas><default/></quotas>
</clickhouse>
"""
_CONFIG = "<clickhouse><users_config>{users}</users_config></clickhouse>\n"


class RowPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that rows of a table meet, or are not seen by anyone."""

    name: str
    database: str
    table: str
    condition: str
    is_restrictive: bool = False


Key: TypeAlias = tuple[str, str, str]
Policies: TypeAlias = Mapping[Key, RowPolicy]


def is_row_policy(sql: bytes) -> bool:
    """Return whether a statement creates row policies."""
    return _STATEMENT.match(sql) is not None


def with_created(known: Policies, canonical: str, *, database: str) -> Policies:
    """Return all policies after a statement, which has the form that ClickHouse's formatter gives it.

    Raises:
        ClickHouseError: the form is not supported, or a policy of that name exists already.
    """
    found = _CANONICAL.fullmatch(canonical)
    if found is None:
        raise _unsupported()
    created = {
        _key(policy): policy
        for policy in (
            RowPolicy(
                name=found["name"],
                database=table["database"] or database,
                table=table["table"],
                condition=found["condition"],
                is_restrictive=(found["kind"] or "").lower() == "restrictive",
            )
            for table in map(_table, found["tables"].split(", "))
        )
    }
    mode = (found["mode"] or "").strip().lower()
    if not mode and (existing := known.keys() & created.keys()):
        raise ClickHouseError(
            code_of("ACCESS_ENTITY_ALREADY_EXISTS"), f"row policy {' ON '.join(min(existing)[::2])} already exists"
        )
    return {**created, **known} if mode == "if not exists" else {**known, **created}


class PolicyFile:
    """The policies of one folder, as they survive a restart."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "row_policies.json"

    def read(self) -> Policies:
        """Return what is kept.

        Raises:
            RuntimeError: the file is damaged. Going on without it would show rows that it hides.
        """
        if not self._path.exists():
            return {}
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=list[RowPolicy])
        except msgspec.DecodeError as error:
            raise RuntimeError(f"{self._path.name} cannot be read: {error}") from error
        return {_key(policy): policy for policy in kept}

    def write(self, policies: Policies) -> None:
        write_atomically(self._path, msgspec.json.format(msgspec.json.encode(list(policies.values()))))


@contextmanager
def configuration(policies: Policies) -> Iterator[Path]:
    """Write what chDB reads when it opens a folder; it is needed no longer than that."""
    with tempfile.TemporaryDirectory(prefix="rollbook-clickhouse-") as folder:
        users, config = Path(folder) / "users.xml", Path(folder) / "config.xml"
        users.write_text(_USERS.format(databases=_databases(filters_of(policies))), encoding="utf-8")
        config.write_text(_CONFIG.format(users=escape(str(users))), encoding="utf-8")
        yield config


def filters_of(policies: Policies) -> Mapping[tuple[str, str], str]:
    """Return one condition for each table: any permissive one has to hold, and every restrictive one."""
    tables = sorted({(policy.database, policy.table) for policy in policies.values()})
    return {
        table: _combined([policy for policy in policies.values() if (policy.database, policy.table) == table])
        for table in tables
    }


def _combined(policies: Sequence[RowPolicy]) -> str:
    permissive = [f"({policy.condition})" for policy in policies if not policy.is_restrictive]
    restrictive = [f"({policy.condition})" for policy in policies if policy.is_restrictive]
    return " AND ".join([*([f"({' OR '.join(permissive)})"] if permissive else []), *restrictive])


def _databases(filters: Mapping[tuple[str, str], str]) -> str:
    names = sorted({database for database, _ in filters})
    return "".join(
        f"<{name}>{''.join(_filter(table, text) for (database, table), text in filters.items() if database == name)}"
        f"</{name}>"
        for name in names
    )


def _filter(table: str, condition: str) -> str:
    return f"<{table}><filter>{escape(condition)}</filter></{table}>"


def _table(name: str) -> re.Match[str]:
    found = _TABLE.fullmatch(name)
    if found is None:
        raise _unsupported()
    return found


def _key(policy: RowPolicy) -> Key:
    return policy.name, policy.database, policy.table


def _unsupported() -> ClickHouseError:
    return ClickHouseError(
        code_of("NOT_IMPLEMENTED"),
        "This server only knows CREATE ROW POLICY name ON table, … [AS PERMISSIVE | RESTRICTIVE] USING condition TO "
        "ALL, with plain words as names",
    )
