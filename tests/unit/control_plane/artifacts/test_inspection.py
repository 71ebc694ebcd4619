"""What a file that is not a model of its format is told: the reason, and how that format is saved."""

import hashlib
import pickle
from pathlib import Path

import pytest

from control_plane.artifacts.artifact_store import ArtifactStore
from control_plane.artifacts.errors import SAVING_CALLS, NotAModelError
from control_plane.artifacts.inspection import CHECKS
from schemas.events.registry import ArtifactFormat
from tests.unit.control_plane.artifacts.inspecting import inspected

SAVED_BY: dict[ArtifactFormat, str] = {
    "skops": "skops.io.dump",
    "torch": "torch.export.save",
    "xgboost": 'model.save_model("model.ubj")',
    "lightgbm": 'booster.save_model("model.txt")',
    "catboost": 'model.save_model("model.cbm")',
}


@pytest.mark.parametrize("artifact_format", SAVED_BY)
def test_a_broken_file_is_told_the_saving_call_of_its_own_format(
    tmp_path: Path, artifact_format: ArtifactFormat
) -> None:
    refused = _refused(tmp_path, b"broken", artifact_format)

    assert SAVED_BY[artifact_format] in str(refused.remedy)
    others = {call for other, call in SAVED_BY.items() if other != artifact_format}
    assert not any(call in str(refused.remedy) for call in others)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_called_one_whatever_its_format_is_said_to_be(tmp_path: Path, protocol: int) -> None:
    refused = _refused(tmp_path, pickle.dumps({"a": 1}, protocol), "skops")

    assert "it is a pickle, which is never loaded" in str(refused)
    assert "skops.io.dump" in str(refused.remedy)


def test_every_format_has_a_saving_call() -> None:
    assert set(SAVING_CALLS) == set(CHECKS)


def _refused(folder: Path, content: bytes, artifact_format: ArtifactFormat) -> NotAModelError:
    store = ArtifactStore(folder / "store", max_bytes=2**20)
    store.prepare()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    upload = store.receive(digest)
    upload.write(content)
    upload.keep()
    upload.close()
    with pytest.raises(NotAModelError) as refused:
        inspected(store, digest, artifact_format=artifact_format)
    return refused.value
