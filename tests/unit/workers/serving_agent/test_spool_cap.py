"""Spools that pile up while Kafka is away stay within a bound: detail goes first, then records, counts never."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from infra.background import Background
from schemas.observations import batch_headers
from serving.capture import records
from serving.capture.records import Mark, ObservationRecord
from serving.capture.spool import SpoolLimits, SpoolWriter
from serving.capture.spool_reader import SpoolReader
from tests.support.fakes import FakeClock
from tests.unit.workers.serving_agent.test_shipping import SOURCE, RecordingSink
from workers.serving_agent.shipping import CAPTURED, Destination, SourceShipper, SpoolShipping, Totals
from workers.serving_agent.spool_cap import keep_within
from workers.serving_agent.spool_sources import SpoolSource, write_source

DETAIL = "x" * 1_000
RECORDS = 100


def a_spool(spools: Path, boot_id: str) -> Path:
    """Write the spool of an engine that has ended: records with inputs and outputs, then its last mark and one more."""
    directory = spools / boot_id
    source = SpoolSource(
        boot_id=boot_id, workspace="w", endpoint_id="e", deployment_id="d", version_id="v", instance_id="i"
    )
    write_source(directory, source, is_of_engine=False)
    writer = SpoolWriter(directory, limits=SpoolLimits(segment_bytes=20_000), without_detail=records.without_detail)
    for number in range(RECORDS):
        writer.append([a_record(number)])
    writer.append([records.encode(Mark(closed_until_ms=5_000, seen=RECORDS, unsampled=7))])
    writer.append([a_record(RECORDS)])
    writer.close()
    return directory


def a_record(number: int) -> bytes:
    return records.encode(
        ObservationRecord(
            prediction_id=str(number),
            captured_at_ms=number,
            status=200,
            engine_ms=0.5,
            prediction="7",
            inputs=DETAIL,
            outputs=DETAIL,
        )
    )


def frames_of(directory: Path) -> tuple[list[ObservationRecord | Mark], int]:
    """Return all frames of a spool, and how many before them were lost."""
    found: list[ObservationRecord | Mark] = []
    reader, position, lost = SpoolReader(directory), 0, 0
    while (frames := reader.read(position, max_frames=1_000, max_bytes=10_000_000)).payloads:
        found += [records.decode(payload) for payload in frames.payloads]
        lost, position = lost + frames.lost, frames.next_position
    return found, lost


def size_of(spools: Path) -> int:
    used = 0
    for path in spools.rglob("*"):
        # What is shipped meanwhile is replaced and deleted.
        with suppress(FileNotFoundError):
            used += path.stat().st_size if path.is_file() else 0
    return used


def test_spools_within_the_bound_keep_everything(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, "boot-1")
    before = frames_of(spool)

    assert keep_within(tmp_path, max_bytes=size_of(tmp_path), is_over=lambda _: True) == size_of(tmp_path)

    assert frames_of(spool) == before


def test_the_oldest_loses_its_detail_first_and_no_record(tmp_path: Path) -> None:
    spools = [a_spool(tmp_path, f"boot-{number}") for number in range(2)]
    newest = frames_of(spools[1])

    used = keep_within(tmp_path, max_bytes=size_of(tmp_path) - 1, is_over=lambda _: True)

    oldest, lost = frames_of(spools[0])
    assert used == size_of(tmp_path)
    assert (len(oldest), lost) == (RECORDS + 2, 0)
    assert {each.inputs for each in oldest if isinstance(each, ObservationRecord)} == {""}
    assert frames_of(spools[1]) == newest


def test_hundreds_of_restarts_while_kafka_is_away_stay_within_the_bound_and_count_what_is_lost(tmp_path: Path) -> None:
    cap = 100_000
    for number in range(200):
        a_spool(tmp_path, f"boot-{number:03d}")
        keep_within(tmp_path, max_bytes=cap, is_over=lambda _: True)

        assert size_of(tmp_path) <= cap + 40_000

    oldest, lost = frames_of(tmp_path / "boot-000")
    assert oldest == [Mark(closed_until_ms=5_000, seen=RECORDS, unsampled=7)]
    assert lost == RECORDS + 1


@pytest.mark.parametrize("repeat", [1, 3])
def test_the_spool_of_an_engine_that_runs_is_left_to_it(tmp_path: Path, repeat: int) -> None:
    running, ended = a_spool(tmp_path, "boot-1"), a_spool(tmp_path, "boot-2")
    before = frames_of(running)

    for _ in range(repeat):
        keep_within(tmp_path, max_bytes=1, is_over=lambda source: source.boot_id != "boot-1")

    assert frames_of(running) == before
    assert len(frames_of(ended)[0]) == 1


async def test_what_is_shipped_of_a_reduced_spool_has_exact_counts_and_tells_the_loss(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, SOURCE.boot_id)
    keep_within(tmp_path, max_bytes=1, is_over=lambda _: True)
    sink, totals = RecordingSink(), Totals()
    shipper = SourceShipper(
        spool,
        SOURCE,
        to=Destination(sink=sink, stream=CAPTURED, region="local", log_id="log-1"),
        clock=FakeClock(now_ms=9_000),
        totals=totals,
    )

    while await shipper.ship_next(is_over=True) != "closing":
        pass

    assert [(header.seen, header.unsampled, header.rows) for header, _ in sink.batches] == [(RECORDS, 7, 0)] * 2
    assert totals.lost_frames == RECORDS + 1


class AwaySink:
    """Takes nothing until Kafka is back."""

    def __init__(self) -> None:
        self.is_back = asyncio.Event()
        self.seen: dict[str, int] = {}

    async def send(self, topic: str, *, key: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        assert (topic, bool(value)) == ("inference.observations.v1", True)
        await self.is_back.wait()
        self.seen[key] = batch_headers(headers).seen


async def test_an_agent_caps_its_spools_while_kafka_is_away_and_ships_exact_counts_afterwards(tmp_path: Path) -> None:
    boots = [f"boot-{number}" for number in range(10)]
    for boot_id in boots:
        a_spool(tmp_path, boot_id)
    sink, clock, background = AwaySink(), FakeClock(now_ms=9_000), Background()
    to = Destination(sink=sink, stream=CAPTURED, region="local", log_id="log-1")
    shipping = SpoolShipping(tmp_path, to=to, clock=clock, boots=set, background=background, max_bytes=50_000)
    clock.advance(seconds=60)

    async with background.running({"shipping": shipping.run}), asyncio.timeout(60):
        while size_of(tmp_path) > 60_000:
            await asyncio.sleep(0.01)
        sink.is_back.set()
        await shipping.drained()

    assert sink.seen == dict.fromkeys(boots, RECORDS)
    assert shipping.totals.lost_frames > 0
    assert background.failures == {"shipping": 0, "agent-ships-source": 0}
