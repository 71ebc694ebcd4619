from pathlib import Path

import pytest

from control_plane.artifacts.artifact_store import ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    made = ArtifactStore(tmp_path / "artifacts", max_bytes=1_000_000)
    made.prepare()
    return made
