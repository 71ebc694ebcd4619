import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import httpx
import msgspec
import pytest

from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact
from serving.runtime.manifest import ARTIFACT_NAME, read_manifest
from tests.support.digits import SIGNATURE, served
from workers.serving_agent.artifacts import ModelShelf, lend, lent_to
from workers.serving_agent.control_plane import ControlPlane
from workers.serving_agent.desired import Deployment
from workers.serving_agent.errors import MayServeLaterError, NeverServesError

MODEL = served("skops")


class StoreDouble(ControlPlane):
    """An artifact store that answers from memory, or fails as a disk or network does."""

    def __init__(self, content: bytes, *, fault: Exception | None = None) -> None:
        self._content = content
        self._fault = fault
        self.fetched = 0

    def within(self, _workspace: str | None) -> Self:
        return self

    @asynccontextmanager
    async def artifact(self, digest: str, *, first_byte: int) -> AsyncIterator[httpx.Response]:
        assert digest == MODEL.artifact.digest
        self.fetched += 1
        if self._fault is not None:
            raise self._fault
        status = 206 if first_byte else 200
        yield httpx.Response(status, content=self._stream(first_byte))

    async def _stream(self, first_byte: int) -> AsyncIterator[bytes]:
        yield self._content[first_byte:]


def _deployment(name: str) -> Deployment:
    return Deployment(
        id=name,
        workspace="default",
        endpoint_id="endpoint-1",
        endpoint="digits",
        version=VersionReference(version_id="version-1", model_name="digits", number=1),
        artifact=MODEL.artifact,
        signature_id="content-1",
        signature=SIGNATURE,
        golden=None,
        replicas=1,
    )


async def test_a_model_directory_holds_the_artifact_and_its_manifest(tmp_path: Path) -> None:
    directory = await ModelShelf(tmp_path, StoreDouble(MODEL.content)).prepare(_deployment("a"))

    assert (directory / ARTIFACT_NAME).read_bytes() == MODEL.content
    assert read_manifest(directory).version_name == "digits/1"


async def test_two_deployments_of_one_artifact_fetch_it_once_and_share_it(tmp_path: Path) -> None:
    store = StoreDouble(MODEL.content)
    shelf = ModelShelf(tmp_path, store)
    first, second = await shelf.prepare(_deployment("a")), await shelf.prepare(_deployment("b"))

    shelf.discard("a")

    assert store.fetched == 1
    assert not first.exists()
    assert (second / ARTIFACT_NAME).read_bytes() == MODEL.content
    shelf.discard("b")
    assert list((tmp_path / ".artifacts").iterdir()) == []


async def test_deployments_that_come_at_once_fetch_one_artifact_once_and_leave_no_lock_behind(tmp_path: Path) -> None:
    store = StoreDouble(MODEL.content)
    shelf = ModelShelf(tmp_path, store)

    await asyncio.gather(*(shelf.prepare(_deployment(name)) for name in "abc"))

    assert store.fetched == 1
    assert [name for name, kept in vars(shelf).items() if isinstance(kept, dict) and kept] == []


async def test_an_artifact_that_changed_on_disk_is_fetched_anew(tmp_path: Path) -> None:
    shelf = ModelShelf(tmp_path, StoreDouble(MODEL.content))
    directory = await shelf.prepare(_deployment("a"))
    (directory / ARTIFACT_NAME).write_bytes(b"x" * len(MODEL.content))

    await ModelShelf(tmp_path, StoreDouble(MODEL.content)).prepare(_deployment("a"))

    assert (directory / ARTIFACT_NAME).read_bytes() == MODEL.content


@pytest.mark.parametrize("length", [10, len(MODEL.content)])
async def test_a_damaged_part_of_an_earlier_run_does_not_condemn_the_version(tmp_path: Path, length: int) -> None:
    shelf = ModelShelf(tmp_path, StoreDouble(MODEL.content))
    part = tmp_path / ".artifacts" / (MODEL.artifact.digest.removeprefix("sha256:") + ".part")
    part.write_bytes(b"\0" * length)

    directory = await shelf.prepare(_deployment("a"))

    assert (directory / ARTIFACT_NAME).read_bytes() == MODEL.content


async def test_a_stream_longer_than_promised_is_cut_and_refused(tmp_path: Path) -> None:
    with pytest.raises(NeverServesError) as refused:
        await ModelShelf(tmp_path, StoreDouble(MODEL.content + b"more")).prepare(_deployment("a"))

    assert refused.value.code == "artifact-digest-differs"


async def test_a_refused_artifact_is_fetched_anew_the_next_time(tmp_path: Path) -> None:
    with pytest.raises(NeverServesError):
        await ModelShelf(tmp_path, StoreDouble(b"!" * len(MODEL.content))).prepare(_deployment("a"))

    await ModelShelf(tmp_path, StoreDouble(MODEL.content)).prepare(_deployment("a"))


async def test_a_full_disk_is_a_failure_that_may_pass(tmp_path: Path) -> None:
    full = StoreDouble(b"", fault=OSError(errno.ENOSPC, "No space left on device"))

    with pytest.raises(MayServeLaterError, match="No space left") as failed:
        await ModelShelf(tmp_path, full).prepare(_deployment("a"))

    assert failed.value.code == "disk-full"


async def test_an_unknown_format_is_refused_before_a_directory_is_made(tmp_path: Path) -> None:
    text = msgspec.structs.replace(MODEL.artifact, format="onnx")
    deployment = msgspec.structs.replace(_deployment("a"), artifact=text)

    with pytest.raises(NeverServesError) as refused:
        await ModelShelf(tmp_path, StoreDouble(MODEL.content)).prepare(deployment)

    assert refused.value.code == "artifact-malformed"
    assert not (tmp_path / "a").exists()


class SharedStore(ControlPlane):
    """An artifact store of several files."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {_digest(content): content for content in contents}
        self.fetched: list[str] = []

    def within(self, _workspace: str | None) -> Self:
        return self

    @asynccontextmanager
    async def artifact(self, digest: str, *, first_byte: int) -> AsyncIterator[httpx.Response]:
        self.fetched.append(digest)
        yield httpx.Response(200, content=self._stream(self.contents[digest][first_byte:]))

    async def _stream(self, content: bytes) -> AsyncIterator[bytes]:
        yield content


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _directory(name: str, files: dict[str, bytes]) -> tuple[Deployment, bytes]:
    entries = [
        {"path": path, "digest": _digest(content), "size_bytes": len(content)} for path, content in files.items()
    ]
    index = msgspec.json.encode({"files": entries})
    artifact = Artifact(digest=_digest(index), size_bytes=len(index), format="transformers")
    return msgspec.structs.replace(_deployment(name), artifact=artifact), index


WEIGHTS, CONFIG, TOKENIZER = b"weights", b'{"architectures": ["LlamaForCausalLM"]}', b"{}"
FILES = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "sub/tokenizer.json": TOKENIZER}


async def test_a_model_of_several_files_is_laid_as_a_directory(tmp_path: Path) -> None:
    deployment, index = _directory("a", FILES)

    directory = await ModelShelf(tmp_path, SharedStore(index, *FILES.values())).prepare(deployment)

    found = {path.relative_to(directory / "files").as_posix() for path in (directory / "files").rglob("*.*")}
    assert found == set(FILES)
    assert (directory / "files" / "sub" / "tokenizer.json").read_bytes() == TOKENIZER
    assert (directory / ARTIFACT_NAME).read_bytes() == index


async def test_what_two_models_share_is_fetched_once_and_kept_while_one_needs_it(tmp_path: Path) -> None:
    first, first_index = _directory("a", FILES)
    second, second_index = _directory("b", {**FILES, "model.safetensors": b"other"})
    store = SharedStore(first_index, second_index, b"other", *FILES.values())
    shelf = ModelShelf(tmp_path, store)
    await asyncio.gather(shelf.prepare(first), shelf.prepare(second))

    shelf.discard("a")

    assert store.fetched.count(_digest(TOKENIZER)) == 1
    assert (tmp_path / "b" / "files" / "config.json").read_bytes() == CONFIG
    assert len(list((tmp_path / ".artifacts").iterdir())) == 4


async def test_a_file_of_a_model_that_is_another_than_its_index_says_is_refused(tmp_path: Path) -> None:
    deployment, index = _directory("a", FILES)
    store = SharedStore(index, *FILES.values())
    store.contents[_digest(WEIGHTS)] = b"w3ights"

    with pytest.raises(NeverServesError) as refusal:
        await ModelShelf(tmp_path, store).prepare(deployment)

    assert refusal.value.code == "artifact-digest-differs"


async def test_an_index_that_leads_out_of_its_directory_is_refused(tmp_path: Path) -> None:
    deployment, index = _directory("a", {**FILES, "../../escaped.json": b"{}"})

    with pytest.raises(NeverServesError) as refusal:
        await ModelShelf(tmp_path / "models", SharedStore(index, b"{}", *FILES.values())).prepare(deployment)

    assert refusal.value.code == "artifact-malformed"
    assert not list(tmp_path.rglob("escaped.json"))


async def test_what_a_model_lends_or_was_lent_ends_with_either(tmp_path: Path) -> None:
    deployment, index = _directory("adapter", FILES)
    shelf = ModelShelf(tmp_path, SharedStore(index, *FILES.values()))
    await shelf.prepare(deployment)

    lent = [lend(tmp_path, "adapter", to=parent) for parent in ("first", "first", "second")]

    assert lent[0] == lent[1] == lent_to(tmp_path, "first") / "adapter"
    assert (lent[0] / "sub" / "tokenizer.json").read_bytes() == TOKENIZER
    assert shelf.models() == {"adapter"}
    shelf.discard("second")
    assert not lent[2].exists()
    shelf.discard("adapter")
    assert not lent[0].exists()
    assert list((tmp_path / ".artifacts").iterdir()) == []


async def test_what_engines_wrote_for_themselves_ends_with_the_deployment(tmp_path: Path) -> None:
    shelf = ModelShelf(tmp_path, StoreDouble(MODEL.content))
    (shelf.scratch_of("a") / "cache").mkdir()

    assert shelf.scratch_of("a").is_dir()
    shelf.discard("a")

    assert list((tmp_path / ".scratch").iterdir()) == []
