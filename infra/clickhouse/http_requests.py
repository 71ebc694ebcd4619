"""What a request to the ClickHouse HTTP interface asks for."""

import base64
import binascii
import io
import re
import sys
import uuid
import zlib
from collections.abc import Mapping
from urllib.parse import parse_qsl

import lz4.frame  # type: ignore[import-untyped]
import msgspec
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartParser,
    parse_options_header,
)

from infra.clickhouse.http_errors import ClickHouseError, code_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_OWN_PARAMETERS = frozenset(
    {"query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "stacktrace"}
    | {"session_id", "session_timeout", "session_check", "client_protocol_version", "add_http_cors_header"}
    | {"wait_end_of_query", "buffer_size", "compress", "decompress", "http_zlib_compression_level"}
    | {"enable_http_compression", "send_progress_in_http_headers", "http_headers_progress_interval_ms"}
    | {"cancel_http_readonly_queries_on_client_close"}
)
_SETTING = re.compile(r"[A-Za-z_]\w*")
_READ_BY_GET = "2"


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One query with everything that shapes its answer."""

    sql: bytes
    query_id: str
    database: str | None
    default_format: str | None
    settings: dict[str, str]
    parameters: dict[str, str]
    is_buffered: bool
    accepted_encodings: tuple[str, ...]

    @property
    def readonly(self) -> int:
        return int(self.settings["readonly"]) if self.settings.get("readonly", "").isdigit() else 0


def read_request(
    method: str, query_string: bytes, headers: Mapping[str, str], body: bytes, *, max_bytes: int
) -> QueryRequest:
    """Join URL, headers and body as ClickHouse does: the query may stand in the first and go on in the last."""
    parameters = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    content = decompress(body, headers.get("content-encoding", ""), max_bytes=max_bytes)
    if headers.get("content-type", "").startswith("multipart/form-data"):
        parameters |= _form_fields(content, headers["content-type"], max_bytes)
        content = b""
    _refuse_native_compression(parameters)
    settings = {name: value for name, value in parameters.items() if _is_setting(name)}
    if method != "POST":
        settings["readonly"] = settings.get("readonly", "0").replace("0", _READ_BY_GET)
    query = parameters.get("query", "").encode()
    return QueryRequest(
        sql=query + (b"\n" if query and content else b"") + content,
        query_id=parameters.get("query_id") or str(uuid.uuid4()),
        database=parameters.get("database") or headers.get("x-clickhouse-database"),
        default_format=parameters.get("default_format") or headers.get("x-clickhouse-format"),
        settings=settings,
        parameters={name.removeprefix("param_"): v for name, v in parameters.items() if name.startswith("param_")},
        is_buffered=parameters.get("wait_end_of_query") == "1",
        accepted_encodings=_encodings(headers) if parameters.get("enable_http_compression") == "1" else (),
    )


def credentials(query_string: bytes, headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Take user and password from wherever ClickHouse's clients put them; None when there are none."""
    if authorization := headers.get("authorization"):
        scheme, _, encoded = authorization.partition(" ")
        try:
            decoded = base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        user, _, password = decoded.partition(":")
        return user, password
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    parameters = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    if "user" in parameters or "password" in parameters:
        return parameters.get("user", "default"), parameters.get("password", "")
    return None


def decompress(body: bytes, encoding: str, *, max_bytes: int) -> bytes:
    """Undo a Content-Encoding without letting a small body grow beyond the limit."""
    kind = encoding.strip().lower()
    if kind in ("", "identity"):
        return body
    try:
        content, is_whole = _decompressed(kind, body, max_bytes + 1)
    except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as error:
        raise ClickHouseError(code_of("CANNOT_DECOMPRESS"), f"The body is not valid {kind}: {error}") from error
    if len(content) > max_bytes:
        raise ClickHouseError(code_of("QUERY_IS_TOO_LARGE"), f"The body is larger than {max_bytes} bytes")
    if not is_whole:
        raise ClickHouseError(code_of("CANNOT_DECOMPRESS"), f"The {kind} body ends too early")
    return content


def _decompressed(kind: str, body: bytes, max_bytes: int) -> tuple[bytes, bool]:
    match kind:
        case "gzip" | "deflate":
            inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
            return inflater.decompress(body, max_bytes), inflater.eof
        case "lz4":
            lz4_reader = lz4.frame.LZ4FrameDecompressor()
            return lz4_reader.decompress(body, max_length=max_bytes), lz4_reader.eof
        case "zstd":
            zstd_reader = zstd.ZstdDecompressor()
            return zstd_reader.decompress(body, max_length=max_bytes), zstd_reader.eof
        case _:
            raise ClickHouseError(
                code_of("UNKNOWN_COMPRESSION_METHOD"), f"Unknown compression method: {kind}; use gzip, lz4 or zstd"
            )


def _form_fields(body: bytes, content_type: str, max_bytes: int) -> dict[str, str]:
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    try:
        parser = MultipartParser(
            io.BytesIO(body), boundary, memory_limit=max_bytes, spool_limit=max_bytes, disk_limit=0
        )
        parts = list(parser)
    except MultipartError as error:
        raise ClickHouseError(code_of("BAD_ARGUMENTS"), f"The form cannot be read: {error}") from error
    if any(part.filename for part in parts):
        raise ClickHouseError(code_of("NOT_IMPLEMENTED"), "External tables are not supported; use a temporary view")
    return {part.name: part.value for part in parts}


def _refuse_native_compression(parameters: Mapping[str, str]) -> None:
    for name in ("compress", "decompress"):
        if parameters.get(name, "0") not in ("0", ""):
            raise ClickHouseError(
                code_of("NOT_IMPLEMENTED"), f"{name}=1 is not supported; use Content-Encoding and Accept-Encoding"
            )


def _is_setting(name: str) -> bool:
    if name in _OWN_PARAMETERS or name.startswith("param_"):
        return False
    if not _SETTING.fullmatch(name):
        raise ClickHouseError(code_of("UNKNOWN_SETTING"), f"Unknown setting {name!r}")
    return True


def _encodings(headers: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(part.partition(";")[0].strip().lower() for part in headers.get("accept-encoding", "").split(","))
