"""Makes a file of `torch.export.save` safe to load, without torch: what could run code is rejected or left out.

torch's own loader evaluates symbolic sizes as Python, looks operators up by dotted name and unpickles sample inputs.
So only the graph, the weights and the constants are passed on, and only after every string in them was checked.
"""

import ast
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from schemas.model_archive import UNREADABLE, UnsafeArchiveError, opened_archive
from serving.engines.errors import MalformedArtifactError, UntrustedTypeError

_MAX_DOCUMENT_BYTES = 256 * 1024**2
_MARKS = frozenset({"archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id"})
_PARTS = re.compile(r"models/[\w.-]+\.json|data/(?:weights|constants)/[\w.-]+")
_MODEL = "models/model.json"
_OPERATORS = re.compile(
    r"torch\.ops\.(?:aten|prims)\.\w+\.\w+"
    r"|torch\.sym_(?:int|float|max|min|not|sum|ite)"
    r"|_operator\.(?:add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
)
_RUNS_CODE = frozenset({"as_custom_obj", "as_operator", "as_graph"})
_SPEC_TYPES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict"})
_FUNCTIONS = frozenset({"Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Mod", "FloorDiv"})
_SYMBOL = re.compile(r"[a-z]{1,3}\d+")
_EXPRESSION = (
    *(ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.UnaryOp, ast.USub, ast.BinOp),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
)


def check_program(path: Path) -> None:
    """Check a file as `safe_program` does, without reading its weights.

    Raises:
        MalformedArtifactError: the same.
        UntrustedTypeError: the same.
    """
    with _opened(path) as archive:
        for name, member in _kept(archive).items():
            if name.endswith(".json"):
                _checked(name, member, archive)


def safe_program(path: Path) -> bytes:
    """Return an archive with the needed parts of a file and nothing that could run code.

    Raises:
        MalformedArtifactError: the file is not an exported program, or stores tensors as pickles.
        UntrustedTypeError: its graph names more than torch's own operators on tensors.
    """
    copy = io.BytesIO()
    with _opened(path) as archive, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
        for name, member in _kept(archive).items():
            target.writestr(f"archive/{name}", _checked(name, member, archive))
        # torch always reads it; if it is empty, it is not unpickled.
        target.writestr("archive/data/sample_inputs/model.pt", b"")
    return copy.getvalue()


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with path.open("rb") as file, opened_archive(file) as (archive, _):
            yield archive
    except UnsafeArchiveError as error:
        raise _malformed(f"the archive {error}") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _malformed("a document in it is not JSON") from error
    except UNREADABLE as error:
        raise _malformed("it is not an archive written by torch.export.save") from error


def _kept(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members = {_inner_name(member.filename): member for member in archive.infolist()}
    if _MODEL not in members or "archive_format" not in members:
        raise _malformed(f"it has no {_MODEL}; save the program by torch.export.save of torch 2.9 or later")
    for name, member in members.items():
        if member.compress_type != zipfile.ZIP_STORED:
            raise _malformed(f"{name} is compressed, which torch.export.save never does")
    return {name: member for name, member in members.items() if name in _MARKS or _PARTS.fullmatch(name)}


def _inner_name(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise _malformed(f"it holds {name!r}, a path that leads outside it")
    return "/".join(path.parts[1:])


def _checked(name: str, member: zipfile.ZipInfo, archive: zipfile.ZipFile) -> bytes:
    if not name.endswith(".json"):
        return archive.read(member)
    if member.file_size > _MAX_DOCUMENT_BYTES:
        raise _malformed(f"{name} is larger than {_MAX_DOCUMENT_BYTES} bytes")
    document = msgspec.json.decode(archive.read(member))
    refused = sorted(set(_refused(document)))
    if refused:
        raise UntrustedTypeError(
            refused, remedy="export a program of torch's own operators on tensors, or export to ONNX"
        )
    if name == _MODEL:
        document["guards_code"] = []
    return msgspec.json.encode(document)


def _refused(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """List what is not trusted in a document, and drop the origins of its nodes, which nothing needs."""
    if isinstance(value, list):
        for part in value:
            yield from _refused(part)
    if not isinstance(value, dict):
        return
    if isinstance(value.get("metadata"), dict):
        value["metadata"] = {}
    for key, part in value.items():
        yield from _refused_member(key, part)
        yield from _refused(part)


def _refused_member(key: str, part: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    match key:
        case "target" if not (isinstance(part, str) and _OPERATORS.fullmatch(part)):
            yield str(part)[:100]
        case "expr_str" if not _is_harmless(part):
            yield f"the expression {str(part)[:100]!r}"
        case "in_spec" | "out_spec" if not _is_plain(part):
            yield f"the structure {str(part)[:100]!r}"
        case "use_pickle" if part is not False:
            raise _malformed("it stores a tensor as a pickle")
        case "range_constraints" if not all(_SYMBOL.fullmatch(name) for name in part):
            yield f"the symbols {', '.join(part)[:100]}"
        case _ if key in _RUNS_CODE:
            yield key.removeprefix("as_")
        case _:
            return


def _is_harmless(expression: object) -> bool:
    try:
        tree = ast.parse(str(expression), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, _EXPRESSION) and _is_known(node) for node in ast.walk(tree))


def _is_known(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name):
            return name in _FUNCTIONS or _SYMBOL.fullmatch(name) is not None
        case ast.Call(func=function):
            return isinstance(function, ast.Name) and function.id in _FUNCTIONS
        case ast.Constant(value=str() as text):
            return _SYMBOL.fullmatch(text) is not None
        case ast.Constant(value=value):
            return isinstance(value, bool | int | float)
        case _:
            return True


def _is_plain(structure: object) -> bool:
    if not structure:
        return True
    specs = [msgspec.json.decode(str(structure))]
    while specs:
        spec = specs.pop()
        if isinstance(spec, list):
            specs += spec
        elif isinstance(spec, dict):
            if spec.get("type") not in _SPEC_TYPES:
                return False
            specs += spec.get("children_spec", [])
    return True


def _malformed(reason: str) -> MalformedArtifactError:
    return MalformedArtifactError(f"the artifact is not an exported program: {reason}")
