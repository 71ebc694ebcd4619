"""Brings the tables of the read side to the state that its migrations describe."""

from functools import partial
from pathlib import Path

from clickhouse_connect.driver.client import Client

from infra.clickhouse.migrator import migrate
from projections.errors import StoreUnavailableError
from projections.query.row_policies import separate_workspaces
from projections.retries import Backoff, retry_until_done
from projections.store import ClickHouseStore

_IDENTITY = "SELECT toString(id) AS id FROM sink_identity ORDER BY made_at, id LIMIT 1"

_FOLDER = Path(__file__).parent


def migration_folders() -> list[Path]:
    """Return the folders with the migrations of the views, and of the sink; one numbering goes through all of them."""
    return sorted(_FOLDER.glob("*/migrations"))


async def bring_up_to_date(store: ClickHouseStore) -> list[str]:
    """Apply what is missing, waiting for ClickHouse while it is away, and return the names of what was applied.

    Afterwards every table has its row policy.
    """

    def apply(client: Client) -> list[str]:
        return migrate(client, migration_folders())

    action = partial(store.run, apply)
    applied = await retry_until_done(action, what="migrate", passing=StoreUnavailableError, backoff=Backoff())
    await separate_workspaces(store)
    return applied


async def identity(store: ClickHouseStore) -> str:
    """Return the name of this database, forever different from that of one that was rebuilt."""
    rows = await retry_until_done(
        partial(store.select, _IDENTITY), what="read_identity", passing=StoreUnavailableError, backoff=Backoff()
    )
    return str(rows[0]["id"])
