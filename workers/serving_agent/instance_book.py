"""What the agent remembers about its instances when it restarts: `instances.json`."""

from pathlib import Path

import msgspec
import structlog

from infra.data_directory import write_atomically
from workers.serving_agent.reconcile import Slot

_log = structlog.get_logger(__name__)


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The slot's permanent address, and the process in it; without one `boot_id` is empty and `pid` is 0.

    `workspace` is None in what an earlier release wrote, which knew the home workspace alone.

    `shared` names the process if it holds instances of other slots too. `is_confined` says how it was started.
    """

    slot: Slot
    endpoint_id: str
    instance_id: str
    port: int
    workspace: str | None = None
    boot_id: str = ""
    pid: int = 0
    process_started_at: float = 0.0
    shared: str = ""
    is_confined: bool = False

    def without_process(self) -> "InstanceRecord":
        """Return the record of a slot whose process has ended."""
        return msgspec.structs.replace(self, boot_id="", pid=0, process_started_at=0.0, shared="", is_confined=False)


class InstanceBook:
    """The records, in memory and on disk; used from one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records = {record.slot: record for record in _read(path)}

    def __getitem__(self, slot: Slot) -> InstanceRecord:
        return self._records[slot]

    def get(self, slot: Slot) -> InstanceRecord | None:
        """Return the record of a slot."""
        return self._records.get(slot)

    def put(self, record: InstanceRecord) -> None:
        """Remember a slot. Raises OSError when the disk is full; it is then still kept in memory."""
        self._records[record.slot] = record
        self._save()

    def forget(self, slot: Slot) -> None:
        """Forget a slot whose process is gone for good."""
        self._records.pop(slot, None)
        self._save()

    def instance_ids(self) -> dict[Slot, str]:
        """Return the instance of each slot on record."""
        return {slot: record.instance_id for slot, record in self._records.items()}

    def ports(self) -> set[int]:
        """Return the ports that slots own."""
        return {record.port for record in self._records.values()}

    def running(self) -> list[InstanceRecord]:
        """Return the records of slots that have a process."""
        return [record for record in self._records.values() if record.pid]

    def boots(self) -> set[str]:
        """Return the boots whose process may still write its spool."""
        return {record.boot_id for record in self._records.values() if record.boot_id}

    def _save(self) -> None:
        write_atomically(self._path, msgspec.json.encode(list(self._records.values())))


def _read(path: Path) -> list[InstanceRecord]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[InstanceRecord])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        # Earlier engines are then unknown: they end with the supervisor, and their announcements are withdrawn.
        _log.error("instances_unreadable", path=str(path), reason=str(error))
        return []
