"""The models of one process: where they are, which are loaded, and loading and unloading them while others serve."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import structlog

from infra.errors import CannotStartError
from serving.engines.base import Engine, load_engine
from serving.engines.errors import MalformedArtifactError
from serving.engines.footprint import estimated_bytes
from serving.runtime.admission import MemoryBudget, resident_bytes
from serving.runtime.errors import InvalidRequestError, OverloadedError, UnknownModelError
from serving.runtime.manifest import ARTIFACT_NAME, FILE_NAME, Manifest, read_manifest
from serving.runtime.model_host import HostLimits, ModelHost
from serving.runtime.trial import try_out

State: TypeAlias = Literal["READY", "UNAVAILABLE", "LOADING", "UNLOADING"]
_log = structlog.get_logger(__name__)


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded model under the name that callers use. `memory_bytes` is what loading it was measured to take."""

    name: str
    manifest: Manifest
    host: ModelHost
    memory_bytes: int

    @property
    def version(self) -> str:
        return str(self.manifest.version.number)

    @property
    def parameters(self) -> dict[str, str]:
        """What an answer says about its origin."""
        return {"version": self.manifest.version_name, "deployment_id": self.manifest.deployment_id}


class ModelState(msgspec.Struct, frozen=True):
    """An entry of the repository's index."""

    name: str
    version: str = ""
    state: State = "UNAVAILABLE"
    reason: str = ""


class ModelRepository:
    """Holds the model that the process was started for, and those in the folders of a shared directory.

    Names are matched regardless of case. Each model has its own queue and threads, so that a slow one does not delay
    others. A model that crashes the process takes the others with it: whoever fills the process decides which.
    """

    def __init__(
        self, *, main: str, main_directory: Path, shared: Path | None, limits: HostLimits, memory: MemoryBudget
    ) -> None:
        self._main = main
        self._main_directory = main_directory
        self._shared = shared
        self._limits = limits
        self._memory = memory
        self._models: dict[str, ServedModel] = {}
        self._states: dict[str, ModelState] = {}
        self._lock = asyncio.Lock()
        self._is_draining = False

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(tuple(self._models.values()))

    @property
    def is_ready(self) -> bool:
        """Whether the process's own model is loaded, and the process is not stopping."""
        return self._main.lower() in self._models and not self._is_draining

    def is_ready_for(self, name: str, version: str = "") -> bool:
        """Whether a model can answer, regardless of the others, and the process is not stopping.

        Raises:
            UnknownModelError: no model has this name, or its version is a different one.
        """
        try:
            self.find(name, version)
        except OverloadedError:
            return False
        return not self._is_draining

    @property
    def in_flight(self) -> int:
        return sum(model.host.in_flight for model in self._models.values())

    def find(self, name: str, version: str = "") -> ServedModel:
        """Return a loaded model.

        Raises:
            UnknownModelError: no model has this name, or its version is a different one.
            OverloadedError: the model exists but is not loaded.
        """
        model = self._models.get(name.lower())
        if model is None:
            self._refuse(name)
        assert model is not None
        if version not in {"", model.version}:
            raise UnknownModelError(f"version {version!r} is unknown; {model.name!r} has the version {model.version!r}")
        return model

    def index(self) -> list[ModelState]:
        """List all models, loaded or not."""
        return [self._state_of(name) for name in sorted(self._places())]

    async def load(self, name: str) -> ServedModel:
        """Load or reload a model; until that is done, the previous one answers.

        Raises:
            UnknownModelError: no model has this name.
            CannotLoadError: it cannot be loaded, or there is no memory for it.
        """
        async with self._lock:
            known, directory = self._place_of(name)
            before = self._models.get(known.lower())
            self._note(known, "LOADING" if before is None else "READY")
            try:
                model = await self._load(known, directory)
            except BaseException as error:
                # Whatever happened, even a cancelled call: a model must not be reported as loading forever.
                self._note(known, "UNAVAILABLE" if before is None else "READY", reason=str(error))
                raise
            self._models[known.lower()] = model
            self._note(known, "READY")
            if before is not None:
                await before.host.idle()
                before.host.close()
            return model

    async def unload(self, name: str) -> None:
        """Accept no more requests for a model, and unload it once those in progress are answered.

        Raises:
            UnknownModelError: no model has this name.
        """
        async with self._lock:
            known, _ = self._place_of(name)
            model = self._models.pop(known.lower(), None)
            if model is not None:
                self._note(known, "UNLOADING")
                await model.host.idle()
                model.host.close()
            self._note(known, "UNAVAILABLE", reason="unloaded")

    def drain(self) -> None:
        """Report not ready from now on; requests on open connections are still answered."""
        self._is_draining = True

    def close(self) -> None:
        """Stop the threads of all models."""
        for model in self._models.values():
            model.host.close()

    async def _load(self, name: str, directory: Path) -> ServedModel:
        manifest = _manifest(directory)
        path = directory / ARTIFACT_NAME
        held = resident_bytes()
        engine, joins = await asyncio.to_thread(self._engine, manifest, path)
        host = ModelHost(self._limits)
        host.serve(engine, joins=joins)
        took = max(0, resident_bytes() - held)
        _log.info("model_loaded", model=name, version=manifest.version_name, memory_bytes=took)
        return ServedModel(name=name, manifest=manifest, host=host, memory_bytes=took)

    def _engine(self, manifest: Manifest, path: Path) -> tuple[Engine, bool]:
        if path.is_file():
            self._memory.admit(estimated_bytes(manifest.artifact.format, path))
        engine = load_engine(manifest.artifact.format, path, manifest.signature)
        return engine, try_out(engine, manifest.golden)

    def _places(self) -> dict[str, Path]:
        shared = self._shared.iterdir() if self._shared is not None and self._shared.is_dir() else ()
        found = {folder.name: folder for folder in shared if (folder / FILE_NAME).is_file()}
        return found | {self._main: self._main_directory}

    def _place_of(self, name: str) -> tuple[str, Path]:
        # Compared with what exists, never joined to a path: a caller's name cannot lead outside the directory.
        for known, directory in self._places().items():
            if known.lower() == name.lower():
                return known, directory
        raise UnknownModelError(f"model {name!r} is unknown here")

    def _refuse(self, name: str) -> None:
        known, _ = self._place_of(name)
        state = self._state_of(known)
        if known == self._main and known.lower() not in self._states:
            raise OverloadedError("the model is still loading")
        reason = f": {state.reason}" if state.reason else ""
        raise OverloadedError(f"model {known!r} is {state.state.lower()}{reason}")

    def _state_of(self, name: str) -> ModelState:
        return self._states.get(name.lower(), ModelState(name))

    def _note(self, name: str, state: State, *, reason: str = "") -> None:
        model = self._models.get(name.lower())
        self._states[name.lower()] = ModelState(name, model.version if model else "", state, reason)


def check_repository_request(repository: str, parameters: object) -> None:
    """Reject what other servers allow when loading: a source, or a configuration.

    Raises:
        InvalidRequestError: the request has one.
    """
    if repository:
        raise InvalidRequestError(f"repository {repository!r} is unknown; there is only one, without a name")
    if parameters:
        raise InvalidRequestError("a model is loaded as registered; omit the parameters")


def _manifest(directory: Path) -> Manifest:
    try:
        return read_manifest(directory)
    except CannotStartError as error:
        raise MalformedArtifactError(str(error)) from error
