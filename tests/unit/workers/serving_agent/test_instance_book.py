from pathlib import Path

from workers.serving_agent.instance_book import InstanceBook, InstanceRecord
from workers.serving_agent.reconcile import Slot

SLOT = Slot("deployment-1", 0)
RECORD = InstanceRecord(
    slot=SLOT,
    endpoint_id="endpoint-1",
    instance_id="instance-1",
    port=15_001,
    boot_id="boot-1",
    pid=4,
    process_started_at=1.5,
)


def test_a_record_is_there_for_the_next_agent(tmp_path: Path) -> None:
    InstanceBook(tmp_path / "instances.json").put(RECORD)

    assert InstanceBook(tmp_path / "instances.json")[SLOT] == RECORD


def test_a_slot_keeps_its_port_and_instance_when_its_process_ends(tmp_path: Path) -> None:
    book = InstanceBook(tmp_path / "instances.json")
    book.put(RECORD)
    assert book.boots() == {"boot-1"}

    book.put(RECORD.without_process())

    assert book.boots() == set()
    assert (book.ports(), book.instance_ids()) == ({15_001}, {SLOT: "instance-1"})


def test_a_forgotten_slot_stays_forgotten(tmp_path: Path) -> None:
    book = InstanceBook(tmp_path / "instances.json")
    book.put(RECORD)

    book.forget(SLOT)

    assert InstanceBook(tmp_path / "instances.json").get(SLOT) is None


def test_a_damaged_book_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_bytes(b"[{")

    assert InstanceBook(tmp_path / "instances.json").instance_ids() == {}
