"""What a batch job remembers: parts, in whatever order and after whatever end, make one output."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollbook.batch.errors import AnotherJob, BadInput, BatchError
from rollbook.batch.journal import Job, Journal, Rejected

JOB = Job(input_digest="sha256:1", gateway="http://gateway", endpoint="digits", columns={}, kept=())


def part(*rows: int, **columns: object) -> pa.Table:
    return pa.table({"row": pa.array(rows, pa.int64()), **columns})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "out.parquet", tmp_path / "out.rejected.jsonl")


def test_parts_kept_by_several_runs_make_one_output_in_order(journal: Journal) -> None:
    assert not journal.begin(JOB, overwrite=False)
    journal.keep(1, part(3, 5), [Rejected(4, "why")])
    again = Journal(journal.output, journal.rejected)
    assert again.begin(JOB, overwrite=False)
    assert again.done() == {1: (2, 1)}
    again.keep(0, part(0, 1, 2), [])

    again.finish(2)

    assert pq.read_table(journal.output)["row"].to_pylist() == [0, 1, 2, 3, 5]
    assert journal.rejected.read_text() == '{"row":4,"reason":"why"}\n'
    assert sorted(each.name for each in journal.output.parent.iterdir()) == ["out.parquet", "out.rejected.jsonl"]


def test_a_part_that_was_not_written_to_its_end_is_not_done(journal: Journal) -> None:
    journal.begin(JOB, overwrite=False)
    journal.keep(0, part(0), [])
    (journal.folder / ".part-00000001.parquet.tmp").write_bytes(b"PAR1")

    assert journal.done() == {0: (1, 0)}


def test_a_run_that_died_between_output_and_clearing_up_ends_well(journal: Journal) -> None:
    journal.begin(JOB, overwrite=False)
    journal.keep(0, part(0), [])
    journal.output.write_bytes(b"the output, made before the death")

    assert journal.begin(JOB, overwrite=False)
    journal.finish(1)

    assert pq.read_table(journal.output)["row"].to_pylist() == [0]


def test_what_one_version_does_not_answer_is_missing_in_its_rows(journal: Journal) -> None:
    journal.begin(JOB, overwrite=False)
    journal.keep(0, part(0, label=[7]), [])
    journal.keep(1, part(1, label=[8], certainty=[0.5]), [])
    journal.keep(2, part(), [Rejected(2, "why")])

    journal.finish(3)

    assert pq.read_table(journal.output).to_pylist() == [
        {"row": 0, "label": 7, "certainty": None},
        {"row": 1, "label": 8, "certainty": 0.5},
    ]


def test_versions_whose_types_differ_are_said_and_nothing_is_lost(journal: Journal) -> None:
    journal.begin(JOB, overwrite=False)
    journal.keep(0, part(0, label=[7]), [])
    journal.keep(1, part(1, label=["seven"]), [])

    with pytest.raises(BatchError, match="different types"):
        journal.finish(2)

    assert set(journal.done()) == {0, 1}


def test_an_output_is_not_replaced_unless_told(journal: Journal) -> None:
    journal.output.write_bytes(b"of yesterday")

    with pytest.raises(BadInput, match="--overwrite"):
        journal.begin(JOB, overwrite=False)

    assert not journal.begin(JOB, overwrite=True)
    assert journal.output.read_bytes() == b"of yesterday"


def test_a_journal_of_another_input_is_not_continued(journal: Journal) -> None:
    journal.begin(JOB, overwrite=False)
    other = Job(input_digest="sha256:2", gateway="http://gateway", endpoint="digits", columns={}, kept=())

    with pytest.raises(AnotherJob, match=r"input digest sha256:1.*sha256:2"):
        journal.begin(other, overwrite=True)


def test_rejected_rows_of_an_earlier_job_do_not_stay(journal: Journal) -> None:
    journal.rejected.write_text("of yesterday")
    journal.begin(JOB, overwrite=False)
    journal.keep(0, part(0), [])

    journal.finish(1)

    assert not journal.rejected.exists()


def test_one_run_at_a_time_writes_an_output(journal: Journal) -> None:
    with (
        journal.locked(),
        pytest.raises(BatchError, match="another run"),
        Journal(journal.output, journal.rejected).locked(),
    ):
        pass


def test_an_output_needs_its_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(BadInput, match="cannot hold the file"),
        Journal(tmp_path / "no/out.parquet", tmp_path / "x").locked(),
    ):
        pass
