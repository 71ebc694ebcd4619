"""A Parquet file is scored on the whole stack, killed again and again, while live callers go on."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollbook import NotFound
from rollbook.resources import Prediction
from rollbook_demo.models import PIXELS, read_digits, train_versions
from tests.support.digits_service import DigitsService, serve_digits
from tests.support.eventually import eventually
from tests.support.stack import RunningStack, rollbook_command

pytestmark = pytest.mark.timeout(1_200)
ROWS = 120_000
BAD = {5: None, 70_000: [1.0, 2.0]}
KILLS = 3
WITHIN_S = 400
# A batch gets its turn only when no live request waits, and a busy machine may do no more than a few of them a second.
LIVE_PER_S = 5.0


@pytest.fixture(scope="module")
def service(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigitsService]:
    with stack.client() as rollbook:
        yield serve_digits(stack, rollbook, "scored", directory=tmp_path_factory.mktemp("scored"))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.resize(read_digits().live_images, (ROWS, PIXELS))


@pytest.fixture
def source(images: np.ndarray, tmp_path: Path) -> Path:
    rows: list[list[float] | None] = [*images.tolist()]
    for place, row in BAD.items():
        rows[place] = row
    path = tmp_path / "in.parquet"
    table = pa.table({"pixels": pa.array(rows, pa.list_(pa.float64())), "customer": pa.array(range(ROWS))})
    pq.write_table(table, path, row_group_size=50_000)
    return path


def command(service: DigitsService, source: Path, *further: str) -> list[str]:
    output = source.with_name("out.parquet")
    return rollbook_command(
        *("--data-dir", str(service.stack.data_dir), "--json", "batch", "score", service.name),
        *("--input", str(source), "--output", str(output), "--keep", "customer", *further),
    )


def test_every_row_is_in_the_output_once_after_kills_while_live_callers_go_on(
    service: DigitsService, source: Path, images: np.ndarray
) -> None:
    journal = source.with_name("out.parquet.rollbook")

    with service.traffic(requests_per_s=LIVE_PER_S) as traffic:
        before = traffic.progress.answered
        for kill in range(KILLS):
            with subprocess.Popen(command(service, source), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
                _until_parts(journal, 3 * (kill + 1))
                job.send_signal(signal.SIGKILL)
        done = subprocess.run(command(service, source), capture_output=True, text=True, check=True, timeout=WITHIN_S)
        progress = traffic.progress

    summary = json.loads(done.stdout)
    assert (summary["rows"], summary["scored"], summary["rejected"]) == (ROWS, ROWS - len(BAD), len(BAD))
    assert summary["resumed"] > 50_000
    found = pq.read_table(source.with_name("out.parquet"))
    good = [row for row in range(ROWS) if row not in BAD]
    assert found["row"].to_pylist() == found["customer"].to_pylist() == good
    expected = train_versions(read_digits())[0].classifier.predict(images[good])
    assert np.array_equal(found["label"].to_numpy(), expected)
    rejected = [json.loads(line) for line in source.with_name("out.rejected.jsonl").read_text().splitlines()]
    assert {each["row"]: each["reason"] for each in rejected} == {
        5: "column 'pixels' is missing",
        70_000: "column 'pixels' has 2 values where the input 'pixels' takes 64",
    }
    assert not journal.exists()
    assert progress.answered > before
    assert progress.failed == 0
    one = found["prediction_id"][0].as_py()
    told = eventually(lambda: _who_served(service, one), "the record of a batch request", within_s=180)
    assert told is not None
    assert told.version == found["model_version"][0].as_py() == service.versions[0]


def _until_parts(journal: Path, parts: int) -> None:
    def there() -> bool:
        return len(list(journal.glob("part-*.parquet"))) >= parts

    eventually(there, f"{parts} parts", within_s=WITHIN_S, poll_s=0.01)


def _who_served(service: DigitsService, prediction_id: str) -> Prediction | None:
    try:
        return service.rollbook.predictions.who_served(prediction_id)
    except NotFound:
        return None


def test_wrong_commands_are_refused_with_the_remedy(service: DigitsService, source: Path) -> None:
    def refusal(*arguments: str) -> str:
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=180)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "no input 'colour'" in refusal(*command(service, source, "--column", "colour=customer"))
    assert "no column 'age'" in refusal(*command(service, source, "--column", "pixels=age"))
    assert "TENSOR=COLUMN" in refusal(*command(service, source, "--column", "pixels"))
    assert "cannot be read as Parquet" in refusal(*command(service, _written(source.with_name("no.parquet"))))
    nobody = [each if each != service.name else "nobody" for each in command(service, source)]
    assert "nobody" in refusal(*nobody)
    assert not source.with_name("out.parquet").exists()


def _written(path: Path) -> Path:
    path.write_bytes(b"row,label\n")
    return path
