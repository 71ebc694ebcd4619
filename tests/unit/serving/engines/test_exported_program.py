"""A program of torch is looked at before torch sees it: its loader evaluates and unpickles what it is given."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from control_plane.artifacts.errors import NotAModelError
from control_plane.artifacts.torch_format import check_torch
from serving.engines.errors import MalformedArtifactError, UntrustedTypeError
from serving.engines.exported_program import check_program, safe_program

PLAIN = '[1, {"type": "builtins.tuple", "context": "null", "children_spec": []}]'


def program(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    node = {
        "target": changes.get("target", "torch.ops.aten.linear.default"),
        "inputs": [{"name": "x", "arg": changes.get("arg", {"as_tensor": {"name": "x"}})}],
        "metadata": {"stack_trace": "File secret.py", "source_fn_stack": "x,os.system"},
    }
    size = {"as_expr": {"expr_str": changes.get("expression", "Symbol('s77', positive=True, integer=True)")}}
    return {
        "graph_module": {
            "graph": {"nodes": [node], "tensor_values": {"x": {"sizes": [size, {"as_int": 4}]}}},
            "module_call_graph": [{"fqn": "", "signature": {"in_spec": changes.get("spec", PLAIN), "out_spec": PLAIN}}],
        },
        "range_constraints": {changes.get("symbol", "s77"): {"min_val": 1, "max_val": None}},
        "guards_code": ["print('guard')"],
        "schema_version": {"major": 8, "minor": 20},
    }


def write(
    path: Path, document: dict[str, Any], *, more: dict[str, bytes] | None = None, use_pickle: bool = False
) -> Path:
    weights = {"config": {"l.weight": {"path_name": "weight_0", "use_pickle": use_pickle}}}
    members = {
        "a/archive_format": b"pt2",
        "a/models/model.json": json.dumps(document).encode(),
        "a/data/weights/model_weights_config.json": json.dumps(weights).encode(),
        "a/data/weights/weight_0": b"\0" * 16,
        "a/data/sample_inputs/model.pt": b"\x80\x04a pickle",
        **(more or {}),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_what_torch_would_unpickle_or_run_is_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "model", program(), more={"a/extra/setup.py": b"import os", "a/data/aotinductor/m.so": b"x"}
    )

    check_program(path)
    with path.open("rb") as file:
        check_torch(file)
    with zipfile.ZipFile(io.BytesIO(safe_program(path))) as copy:
        kept = {name: copy.read(name) for name in copy.namelist()}

    assert kept["archive/data/sample_inputs/model.pt"] == b""
    assert not [name for name in kept if name.endswith((".py", ".so"))]
    document = json.loads(kept["archive/models/model.json"])
    assert document["guards_code"] == []
    assert document["graph_module"]["graph"]["nodes"][0]["metadata"] == {}
    assert kept["archive/data/weights/weight_0"] == b"\0" * 16


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"target": "torch.load"}, "torch.load"),
        ({"target": "torch.ops.higher_order.cond"}, "higher_order"),
        ({"target": "torch.utils.collect_env.os.system"}, "os.system"),
        ({"target": "#custom:op"}, "#custom"),
        ({"target": "_operator.attrgetter"}, "attrgetter"),
        ({"target": 3}, "3"),
        ({"expression": "__import__('os').system('id')"}, "__import__"),
        ({"expression": "Symbol('s77').__class__"}, "__class__"),
        ({"expression": "Symbol('__import__(1)')"}, "__import__"),
        ({"expression": "(lambda: s0)()"}, "lambda"),
        ({"expression": "[s0 for s0 in 1]"}, "for s0"),
        ({"expression": "("}, "expression"),
        ({"symbol": "__import__('os')"}, "__import__"),
        ({"arg": {"as_custom_obj": {"name": "x", "class_fqn": "y"}}}, "custom_obj"),
        ({"arg": {"as_operator": "torch.load"}}, "operator"),
        ({"spec": '[1, {"type": "os.stat_result", "context": "null", "children_spec": []}]'}, "os.stat_result"),
    ],
)
def test_a_graph_that_names_more_than_tensor_operators_is_refused(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    path = write(tmp_path / "model", program(**change))

    for look in (check_program, safe_program):
        with pytest.raises(UntrustedTypeError) as refusal:
            look(path)
        assert named in str(refusal.value)


def test_pickled_weights_paths_out_and_compressed_members_are_refused(tmp_path: Path) -> None:
    pickled = write(tmp_path / "pickled", program(), use_pickle=True)
    outside = write(tmp_path / "outside", program(), more={"a/../../etc/passwd": b""})
    compressed = tmp_path / "compressed"
    with zipfile.ZipFile(pickled) as source, zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))

    for path in (pickled, outside, compressed):
        with pytest.raises(MalformedArtifactError):
            check_program(path)
    for path in (pickled, compressed):
        with pytest.raises(NotAModelError), path.open("rb") as file:
            check_torch(file)


def test_a_graph_nested_too_deeply_is_refused_rather_than_followed(tmp_path: Path) -> None:
    path = tmp_path / "deep"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/archive_format", b"pt2")
        archive.writestr("a/models/model.json", b'{"graph_module": ' + b"[" * 50_000)

    with pytest.raises(MalformedArtifactError):
        check_program(path)
    with pytest.raises(NotAModelError), path.open("rb") as file:
        check_torch(file)
