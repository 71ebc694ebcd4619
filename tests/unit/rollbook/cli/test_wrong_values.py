"""What a person types wrongly is refused in one sentence that names it, and nothing is sent."""

import math
from pathlib import Path
from typing import Any, get_args

import pytest

from rollbook import Rollbook, RollbookError
from schemas.events.registry import ArtifactFormat, Datatype
from tests.support.command_line import CommandLine

NOWHERE = "http://127.0.0.1:9"
DEPLOYMENT = "deployment-1"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    return CommandLine(capsys, "--url", NOWHERE, "--data-dir", str(tmp_path))


@pytest.fixture
def model_file(tmp_path: Path) -> str:
    (tmp_path / "model.skops").write_bytes(b"model")
    return str(tmp_path / "model.skops")


@pytest.mark.parametrize(
    ("name", "content"), [("m.pkl", b"x"), ("m.joblib", b"x"), ("m.pickle", b""), ("m.bin", b"\x80\x04\x95")]
)
def test_a_pickle_is_refused_with_how_to_save_the_model(
    cli: CommandLine, tmp_path: Path, name: str, content: bytes
) -> None:
    said = cli.type("version", "register", "m", _file(tmp_path / name, content)).sentence()

    assert f"{name} is a pickle, which is never loaded; save the model with skops.io.dump" in said


def test_a_file_that_tells_no_format_is_refused_with_the_words_of_the_caller(cli: CommandLine, tmp_path: Path) -> None:
    model = _file(tmp_path / "model.bin", b"model")

    assert "pass --format" in cli.type("version", "register", "m", model).sentence()
    with Rollbook(NOWHERE, token="t") as rollbook, pytest.raises(RollbookError, match="pass artifact_format"):
        rollbook.versions.register("m", Path(model))


@pytest.mark.parametrize(
    ("option", "tensor", "said"),
    [
        ("--input", "age:FP64:-1:missin", "age:FP64:-1:missing"),
        ("--output", "age:FP64:-1:missin", "write NAME:DATATYPE:SHAPE"),
        ("--input", "age:FP99:-1", f"FP99 is not a data type; use one of {', '.join(get_args(Datatype))}"),
    ],
)
def test_a_tensor_that_is_written_wrongly_is_told_how_to_write_it(
    cli: CommandLine, model_file: str, option: str, tensor: str, said: str
) -> None:
    refused = cli.type("version", "register", "m", model_file, option, tensor).sentence()

    assert said in refused
    assert option in refused


def test_the_help_of_the_option_names_every_format(cli: CommandLine) -> None:
    said = cli.type("version", "register", "--help").out

    assert [name for name in get_args(ArtifactFormat) if name not in said] == []


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999", "NaN"])
@pytest.mark.parametrize(
    ("option", "command"),
    [
        ("DEPLOYMENT=PERCENT", ("traffic", "set", "e", f"{DEPLOYMENT}={{}}")),
        ("--metric", ("version", "register", "m", "{file}", "--input", "x:FP64:-1x4", "--metric", "loss={}")),
        ("--percent", ("traffic", "shadow", "set", "e", "m/1", "--reason", "x", "--percent={}")),
        ("--tolerance", ("shadow", "compare", "e", "--tolerance={}")),
        ("--in-flight", ("scaling", "set", "e", "--reason", "x", "--in-flight={}")),
        ("--queue-depth", ("scaling", "set", "e", "--reason", "x", "--queue-depth={}")),
        ("--latency-ms", ("scaling", "set", "e", "--reason", "x", "--latency-ms={}")),
        ("--tokens-waiting", ("scaling", "set", "e", "--reason", "x", "--tokens-waiting={}")),
        ("--tolerance", ("scaling", "set", "e", "--reason", "x", "--tolerance={}")),
        ("--sampling-rate", ("capture", "set", "e", "--reason", "x", "--sampling-rate={}")),
        ("--retry-budget-percent", ("failover", "set", "e", "--reason", "x", "--retry-budget-percent={}")),
        ("--timeout", ("rollout", "watch", "r", "--timeout={}")),
        ("--timeout", ("down", "--timeout={}")),
        ("--give-up-after", ("batch", "score", "e", "--input", "{file}", "--output", "o", "--give-up-after={}")),
    ],
)
def test_a_number_that_is_not_finite_is_refused(
    cli: CommandLine, model_file: str, option: str, command: tuple[str, ...], number: str
) -> None:
    arguments = (part.replace("{}", number).replace("{file}", model_file) for part in command)

    said = cli.type(*arguments).sentence()

    assert option in said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{"alpha": NaN}', "NaN is not finite"),
        ('{"alpha": 1e999}', "1e999 is not finite"),
        ('{"alpha": 0.1, "alpha": 0.2}', "the member 'alpha' appears twice"),
        ('{"gates": [{"kind": "loss", "kind": "quality"}]}', "the member 'kind' appears twice"),
        ("[]", "holds a list, not a JSON object"),
        ("{", "does not hold a JSON object"),
        ('{"alfa": 1}', "unknown member 'alfa'"),
        (b"\xff\xfe{\x00}\x00", "is in UTF-16; save it as UTF-8"),
        (b'{"alpha": "\xff"}', "is not UTF-8 (byte 11)"),
    ],
)
def test_a_wrong_plan_is_refused(cli: CommandLine, tmp_path: Path, written: str | bytes, said: str) -> None:
    plan = _file(tmp_path / "plan.json", written)

    refused = cli.type("rollout", "start", "e", "m/1", "--plan", plan)

    assert said in refused.sentence()
    assert "--plan" in refused.err


def test_a_golden_file_with_a_member_twice_is_refused(cli: CommandLine, tmp_path: Path, model_file: str) -> None:
    golden = _file(tmp_path / "golden.json", '{"inputs": [], "outputs": {"label": [1], "label": [2]}}')

    refused = cli.type("version", "register", "m", model_file, "--input", "x:FP64:-1x4", "--golden", golden)

    assert "the member 'label' appears twice" in refused.sentence()
    assert "--golden" in refused.err


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("rb_…", "the token has '…' at character 4"),
        ("rbk_a\n", "the token has white space at character 6"),
        ("rbk a", "the token has white space at character 4"),
        ("rbk_\udcff", "the token has"),
        ("rbk_ä", "the token has 'ä' at character 5"),
        ("rbk_\x00", "the token has"),
    ],
)
def test_a_token_that_no_header_carries_is_refused(cli: CommandLine, token: str, said: str) -> None:
    refused = cli.type("--token", token, "model", "list")

    assert said in refused.sentence()
    assert "--token" in refused.err
    with pytest.raises(RollbookError, match="the token has"):
        Rollbook(NOWHERE, token=token)


def test_the_token_of_the_environment_is_looked_at_too(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBOOK_TOKEN", "rbk_…")

    assert "the token has '…'" in cli.type("model", "list").sentence()


@pytest.mark.parametrize("url", ["localhost:8080", "http://", "ftp://a", "http://a:port", "http://a\nb"])
def test_an_address_that_is_none_is_refused(cli: CommandLine, url: str) -> None:
    refused = cli.type("--url", url, "model", "list")

    assert "write http://HOST:PORT" in refused.sentence()
    assert "--url" in refused.err


@pytest.mark.parametrize(
    "command",
    [
        ("model", "show", "\udcff"),
        ("model", "register", "\udcff"),
        ("model", "list", "\udcff"),
        ("endpoint", "create", "a", "--region", "\udcff"),
    ],
)
def test_bytes_that_are_no_text_are_refused(cli: CommandLine, command: tuple[str, ...]) -> None:
    assert "UTF-8" in cli.type(*command).sentence()


def test_a_name_that_is_too_long_for_an_address_is_refused(cli: CommandLine) -> None:
    assert "too long" in cli.type("model", "show", "a" * 70_000).sentence()
    assert "write model/number" in cli.type("version", "show", "m/" + "9" * 5_000).sentence()


@pytest.mark.parametrize(
    "command",
    [
        ("traffic", "set", "e", f"{DEPLOYMENT}=40", f"{DEPLOYMENT}=100"),
        ("version", "register", "m", "{file}", "--input", "x:FP64:-1x4", "--metric", "loss=1", "--metric", "loss=2"),
        ("batch", "score", "e", "--input", "{file}", "--output", "o", "--column", "x=a", "--column", "x=b"),
    ],
)
def test_a_name_that_is_given_twice_is_refused(cli: CommandLine, model_file: str, command: tuple[str, ...]) -> None:
    arguments = (part.replace("{file}", model_file) for part in command)

    assert "is given 2 times; give it once" in cli.type(*arguments).sentence()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"weights": {"a": math.nan}}, "reason.weights.a is nan"),
        ({"a": [1.0, math.inf]}, r"reason.a\[1\] is inf"),
        ({"a": {1, 2}}, "reason.a is a set, which JSON does not have"),
        ({"\udcff": 1}, "a name in reason has bytes that are not UTF-8"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_its_member(body: Any, said: str) -> None:  # noqa: ANN401
    with Rollbook(NOWHERE, token="t") as rollbook, pytest.raises(RollbookError, match=said):
        rollbook.rollouts.pause("r", reason=body)


def test_a_parameter_that_is_not_finite_is_refused() -> None:
    with Rollbook(NOWHERE, token="t") as rollbook, pytest.raises(RollbookError, match="tolerance is nan"):
        rollbook.endpoints.compare_shadow("e", tolerance=math.nan)


def _file(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)
