"""`rollbook model …` and `rollbook version …`."""

import re
from pathlib import Path
from typing import Any

import click
import msgspec

from rollbook import _wire
from rollbook.cli.input_files import read_json_object
from rollbook.cli.options import LIMIT, finite_numbers
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.resources import Tensor, Version

# A name may have colons of its own, so that the data type and the shape are found from the right.
_TENSOR = re.compile(
    r"(?P<name>.+):(?P<datatype>[A-Z0-9]+):(?P<shape>-?\d{1,18}(?:[x,]-?\d{1,18})*)(?P<missing>:missing)?"
    r"(?::classes=(?P<classes>.+))?",
    re.ASCII | re.DOTALL,
)
DATATYPES = (
    "BOOL",
    *(f"{kind}{bits}" for kind in ("UINT", "INT") for bits in (8, 16, 32, 64)),
    *("FP16", "BF16", "FP32", "FP64", "BYTES"),
)
"""Those of the Open Inference Protocol."""
_VERSION_COLUMNS = ("model_name", "number", "id", "metrics", "created_at")
_REGISTERED_COLUMNS = (*_VERSION_COLUMNS, "inputs", "outputs", "read_from_the_file", "labels", "needs")
_FORMAT_HELP = (
    "State the format: skops, onnx, torch, xgboost, lightgbm, catboost, transformers, lora or external; required where "
    "the file's extension does not say, as for external."
)
_WITHOUT_CLASSES = frozenset({"lightgbm", "xgboost"})
_NUMBERED = "numbers from 0, in the order of the classes; the file does not contain them"
EXTRAS = frozenset({"catboost", "lightgbm", "onnx", "torch", "xgboost"})
"""The formats whose library is an extra of rollbook-server, which has their name."""


@click.group()
def model() -> None:
    """Register and find models."""


@model.command("register")
@click.argument("name")
@click.option("--description", default="")
@pass_profile
def register_model(profile: Profile, name: str, description: str) -> None:
    """Register a model by name."""
    with profile.client() as rollbook:
        show(profile, rollbook.models.register(name, description=description))


@model.command("list")
@click.argument("query", required=False)
@LIMIT
@pass_profile
def list_models(profile: Profile, query: str | None, limit: int | None) -> None:
    """List models, all or those whose name contains QUERY."""
    with profile.client() as rollbook:
        show(
            profile,
            rollbook.models.list(query=query, limit=limit),
            columns=("name", "latest_version", "description", "id"),
        )


@model.command("show")
@click.argument("name")
@pass_profile
def show_model(profile: Profile, name: str) -> None:
    """Show one model."""
    with profile.client() as rollbook:
        show(profile, rollbook.models.get(name))


@model.command("set-alias")
@click.argument("name")
@click.argument("alias")
@click.argument("number", type=int)
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@pass_profile
def set_alias(profile: Profile, name: str, alias: str, number: int, reason: str) -> None:
    """Point ALIAS at version NUMBER of a model."""
    with profile.client() as rollbook:
        show(profile, rollbook.models.set_alias(name, alias, number, reason=reason))


@model.command("remove-alias")
@click.argument("name")
@click.argument("alias")
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@pass_profile
def remove_alias(profile: Profile, name: str, alias: str, reason: str) -> None:
    """Remove ALIAS from a model."""
    with profile.client() as rollbook:
        show(profile, rollbook.models.remove_alias(name, alias, reason=reason))


@click.group()
def version() -> None:
    """Register and find versions of models."""


def _tensors(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[dict[str, Any]]:
    tensors = []
    for value in values:
        match = _TENSOR.fullmatch(value)
        if match is None:
            missing = " or, where values may be missing, age:FP64:-1:missing" if parameter.name == "inputs" else ""
            message = f"{value!r}: write NAME:DATATYPE:SHAPE, for example pixels:FP64:-1x64{missing}"
            raise click.BadParameter(message, param=parameter)
        if match["datatype"] not in DATATYPES:
            message = f"{value!r}: {match['datatype']} is not a data type; use one of {', '.join(DATATYPES)}"
            raise click.BadParameter(message, param=parameter)
        shape = [int(size) for size in re.split("[x,]", match["shape"])]
        tensor: dict[str, Any] = {"name": match["name"], "datatype": match["datatype"], "shape": shape}
        allowed: dict[str, Any] = {"allows_missing": True} if match["missing"] else {}
        classes: dict[str, Any] = {"classes": match["classes"].split(",")} if match["classes"] else {}
        tensors.append(tensor | allowed | classes)
    return tensors


def for_people(version: Version) -> dict[str, Any]:
    """Return a version with its tensors as the options state them, and what must be installed to serve it."""
    signature = version.signature
    sides = {"inputs": list(map(_in_one_line, signature.inputs)), "outputs": list(map(_in_one_line, signature.outputs))}
    fields: dict[str, Any] = msgspec.to_builtins(version)
    extra = version.artifact.format
    needs = {"needs": f"the extra {extra!r} on the serving host"} if extra in EXTRAS else {}
    labels = {"labels": _NUMBERED} if extra in _WITHOUT_CLASSES and _has_label(version) else {}
    return fields | sides | {"read_from_the_file": version.inferred} | labels | needs


def _has_label(version: Version) -> bool:
    outputs = version.signature.outputs
    return any(tensor.name == "label" or tensor.datatype.startswith(("INT", "UINT")) for tensor in outputs)


def _in_one_line(tensor: Tensor) -> str:
    missing = ":missing" if tensor.allows_missing else ""
    classes = f":classes={','.join(tensor.classes)}" if tensor.classes else ""
    return f"{tensor.name}:{tensor.datatype}:{'x'.join(map(str, tensor.shape))}{missing}{classes}"


@version.command("register")
@click.argument("model_name", metavar="MODEL")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--format", "artifact_format", metavar="FORMAT", help=_FORMAT_HELP)
@click.option(
    "--input", "inputs", multiple=True, callback=_tensors, help="State an input: NAME:DATATYPE:SHAPE[:missing]."
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    callback=_tensors,
    help="State an output: NAME:DATATYPE:SHAPE[:classes=NAME,…].",
)
@click.option(
    "--golden",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Attach this golden example: a JSON file with inputs and outputs.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    callback=finite_numbers("NAME=NUMBER", example="accuracy=0.93"),
    help="Record an offline metric, for example accuracy=0.93.",
)
@click.option("--parent", help="Name the version that an adapter adapts, such as story/1.")
@pass_profile
def register_version(  # noqa: PLR0913, PLR0917  one parameter an option
    profile: Profile,
    model_name: str,
    file: Path,
    artifact_format: str | None,
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    golden: Path | None,
    metrics: dict[str, float],
    parent: str | None,
) -> None:
    """Upload FILE as the next version of MODEL.

    FILE is a .skops, .onnx, .pt2, .ubj or .json (XGBoost), .lgb or .txt (LightGBM), .cbm (CatBoost), or a directory of
    safetensors.

    Inputs and outputs not given as options are read from the file where possible.
    """
    signature = {side: tensors for side, tensors in (("inputs", inputs), ("outputs", outputs)) if tensors}
    with profile.client() as rollbook:
        registered = rollbook.versions.register(
            model_name,
            file,
            artifact_format=artifact_format or _wire.format_of(file, parameter="--format"),
            signature=signature or None,
            golden=read_json_object(golden, option="--golden") if golden else None,
            metrics=metrics,
            parent=parent,
        )
        seen = for_people(registered)
        show(profile, registered, columns=[name for name in _REGISTERED_COLUMNS if name in seen], people_see=seen)


@version.command("list")
@click.argument("model_name", metavar="MODEL")
@LIMIT
@pass_profile
def list_versions(profile: Profile, model_name: str, limit: int | None) -> None:
    """List the versions of MODEL."""
    with profile.client() as rollbook:
        show(profile, rollbook.versions.list(model_name, limit=limit), columns=_VERSION_COLUMNS)


@version.command("show")
@click.argument("reference", metavar="MODEL/NUMBER")
@pass_profile
def show_version(profile: Profile, reference: str) -> None:
    """Show one version."""
    with profile.client() as rollbook:
        show(profile, rollbook.versions.get(reference))
