"""How calls are put on the wire and answers are read; shared by the sync and the async client."""

import hashlib
import mimetypes
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import quote
from uuid import uuid4

import anyio
import anyio.to_thread
import httpx
import msgspec

from rollbook import _sendable
from rollbook.errors import RollbookError, problem_from

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Object: TypeAlias = Mapping[str, Any]
"""What is written as a JSON object."""

DEFAULT_TIMEOUT_S = 30.0
MAX_PAGE_ITEMS = 1_000
_MAX_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.2
_MAX_PAUSE_S = 10.0
_CHUNK_BYTES = 1 << 20
_FIRST_ERROR_STATUS = 400
_BEGINNING_BYTES = 64
_XGBOOST_JSON = re.compile(rb'\{"(?:learner|version)"\s*:')
_LIGHTGBM_TEXT = re.compile(rb"tree\nversion=")
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_PICKLE_ENDINGS = frozenset({".joblib", ".pickle", ".pkl"})
_FORMATS: Mapping[str, str] = {
    ".skops": "skops",
    ".onnx": "onnx",
    ".pt2": "torch",
    ".ubj": "xgboost",
    ".lgb": "lightgbm",
    ".cbm": "catboost",
}
_BEGINNINGS = {".json": (_XGBOOST_JSON, "xgboost"), ".txt": (_LIGHTGBM_TEXT, "lightgbm")}
# A client reads the certificates of all authorities when it is made, which takes 20 ms or more. It trusts nobody here.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_VERSION_REFERENCE = re.compile(r"(?P<model>[^/]+)/(?P<number>[0-9]{1,18})")


class Page(Protocol[T_co]):
    """A page of a list; `next` is the cursor of the page that follows, where there is one."""

    @property
    def items(self) -> Sequence[T_co]:
        """What is on the page."""

    @property
    def next(self) -> str | None:
        """The cursor of the page that follows."""


def page_size(limit: int | None, *, so_far: int) -> int | None:
    """Return how many items to ask for next, or None to leave that to the server.

    Raises:
        RollbookError: the limit is not one.
    """
    if limit is not None and limit < 1:
        message = f"limit is {limit}; give 1 or more, or leave it out for everything"
        raise RollbookError(message)
    return None if limit is None else min(MAX_PAGE_ITEMS, limit - so_far)


def is_on_this_machine(url: str) -> bool:
    """Tell whether an address is one of this machine's own."""
    host = httpx.URL(url).host
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def authorities_for(url: str) -> ssl.SSLContext | bool:
    """Return which authorities a client trusts: the usual ones, or none where it speaks no TLS."""
    return True if httpx.URL(url).scheme == "https" else _NO_AUTHORITIES


def headers_for(token: str | None, workspace: str | None = None) -> dict[str, str]:
    """Return the headers of every call.

    Raises:
        RollbookError: the token or the workspace can't be sent.
    """
    headers = {"authorization": f"Bearer {_sendable.token(token)}"} if token else {}
    return headers if workspace is None else {**headers, "rollbook-workspace": _sendable.workspace(workspace)}


def command_headers(idempotency_key: str | None, if_match: int | None) -> dict[str, str]:
    """Return a command's headers; without a key it gets one, so that trying again has one effect."""
    headers = {"content-type": "application/json", "idempotency-key": idempotency_key or str(uuid4())}
    if if_match is not None:
        headers["if-match"] = f'"{if_match}"'
    return headers


def segment(name: str) -> str:
    """Return a name as one part of a path, whatever characters it has.

    Raises:
        RollbookError: it is not text, or would name another path.
    """
    if name in {"", ".", ".."}:
        message = f"{name!r} is not the name of anything; give a name or an id"
        raise RollbookError(message)
    try:
        return quote(name, safe="")
    except UnicodeEncodeError as error:
        message = f"{name!r} has bytes that are not UTF-8"
        raise RollbookError(message) from error


def pause_before_retry_s(attempt: int, answer: httpx.Response | None = None) -> float | None:
    """Return the seconds before the next try, or None when trying again is over or of no use.

    `answer` is None when none came. Only "not now" (503) and "too many" (429) are worth another try; all calls may be
    repeated: questions change nothing, commands carry a key, uploads are named by their digest.
    """
    if attempt >= _MAX_ATTEMPTS:
        return None
    pause_s = _FIRST_PAUSE_S * 2.0 ** (attempt - 1)
    if answer is None:
        return pause_s
    if answer.status_code in {httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS}:
        asked = answer.headers.get("retry-after", "")
        return max(pause_s, min(float(asked), _MAX_PAUSE_S)) if asked.isdecimal() else pause_s
    return None


async def async_sleep(seconds: float) -> None:
    """Wait without holding the event loop."""
    await anyio.sleep(seconds)


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def path(pattern: str, **names: str | int) -> str:
    """Fill in the placeholders of a path.

    Raises:
        RollbookError: a name is no text.
    """
    return pattern.format(**{placeholder: segment(str(name)) for placeholder, name in names.items()})


def body(required: Object, **optional: object) -> dict[str, Any]:
    """Return the members of a body as plain JSON; those of the optional ones that are None are left out."""
    return {name: _plain(value) for name, value in {**required, **without_none(optional)}.items()}


async def async_in_thread(call: Callable[[], T]) -> T:
    """Run what blocks without holding the event loop."""
    return await anyio.to_thread.run_sync(call)


def async_lock() -> anyio.Lock:
    """Return a lock between tasks."""
    return anyio.Lock()


def lock() -> threading.Lock:
    """Return a lock between threads."""
    return threading.Lock()


def in_thread(call: Callable[[], T]) -> T:
    """Run what blocks."""
    return call()


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what was not given."""
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:  # noqa: ANN401  any JSON
    """Return a value with plain objects and lists in place of structs and tuples; what JSON lacks stays as it is."""
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def require_success(answer: httpx.Response) -> httpx.Response:
    """Return an answer of success.

    Raises:
        Problem: the server refused.
    """
    if answer.status_code >= _FIRST_ERROR_STATUS:
        raise problem_from(answer.status_code, answer.content)
    return answer


def read_answer(answer: httpx.Response, result: type[T]) -> T:
    """Read an answer into its type.

    Raises:
        Problem: the server refused.
        RollbookError: something else than Rollbook answers there.
    """
    require_success(answer)
    try:
        return msgspec.json.decode(answer.content, type=result)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = (
            f"{answer.url} does not answer as Rollbook's API does ({error}). "
            "Is it another server, or another release of Rollbook?"
        )
        raise RollbookError(message) from error


def digest_of(path: Path) -> str:
    """Return `sha256:<hex>` of a file."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"


def digest_of_bytes(content: bytes) -> str:
    """Return `sha256:<hex>` of bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def is_directory(path: Path) -> bool:
    """Tell whether a model is a directory of files."""
    return path.is_dir()


def move(path: Path, to: Path) -> None:
    """Put a file in the place of another."""
    path.replace(to)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    path.unlink(missing_ok=True)


def files_of(directory: Path) -> dict[str, Path]:
    """Return the files of a model directory by their path below it; hidden ones are left out.

    Raises:
        RollbookError: there is none, or one lies elsewhere.
    """
    found = {path.relative_to(directory).as_posix(): path for path in sorted(directory.rglob("*")) if path.is_file()}
    shown = {name: path for name, path in found.items() if not any(part.startswith(".") for part in name.split("/"))}
    root = directory.resolve()
    for name, path in shown.items():
        if not path.resolve().is_relative_to(root):
            message = f"{name} points out of {directory}; copy what it points to."
            raise RollbookError(message)
    if not shown:
        message = f"{directory} holds no file."
        raise RollbookError(message)
    return shown


def digests_of(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the digest of each file of a model directory."""
    return {name: digest_of(path) for name, path in files.items()}


def index_of(files: Mapping[str, Path], digests: Mapping[str, str]) -> bytes:
    """Write the index of a model directory, which is the version's artifact."""
    entries = [
        {"path": name, "digest": digests[name], "size_bytes": path.stat().st_size} for name, path in files.items()
    ]
    return msgspec.json.encode({"files": entries})


def format_of(path: Path, *, parameter: str = "artifact_format") -> str:
    """Guess an artifact's format from the file's ending, and of those that others use as well from how it begins.

    `parameter` is what the caller can pass it by, as the message names it.

    Raises:
        RollbookError: neither says it.
    """
    if is_directory(path):
        return "lora" if (path / "adapter_config.json").is_file() else "transformers"
    ending = path.suffix.lower()
    if ending in _FORMATS:
        return _FORMATS[ending]
    start = _beginning_of(path)
    beginning, found = _BEGINNINGS.get(ending, (None, ""))
    if beginning is not None and beginning.match(start):
        return found
    if ending in _PICKLE_ENDINGS or _PICKLE.match(start):
        message = (
            f"{path.name} is a pickle, which is never loaded; save the model with skops.io.dump, "
            "or with save_model if it is one of XGBoost, LightGBM or CatBoost."
        )
        raise RollbookError(message)
    kind = mimetypes.guess_type(path.name)[0] or "unknown content"
    endings = ", ".join((*_FORMATS, *_BEGINNINGS))
    message = f"{path.name} ({kind}) is no model by its ending ({endings}) or beginning; pass {parameter}."
    raise RollbookError(message)


def _beginning_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BEGINNING_BYTES)


def split_reference(version: str) -> tuple[str, int]:
    """Split `model/number`.

    Raises:
        RollbookError: the text has another form.
    """
    match = _VERSION_REFERENCE.fullmatch(version)
    if match is None:
        message = f"{version!r} is no version; write model/number, for example digits/2."
        raise RollbookError(message)
    return match["model"], int(match["number"])
