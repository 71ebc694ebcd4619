from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from infra.addresses import GrantedNetworks
from infra.errors import InvalidSettingsError
from infra.settings import describe_settings, load_settings


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535, description="where the program listens")]
    token: str
    folder: Path = Path("here")
    hosts: tuple[str, ...] = ()
    bind: IPv4Address | None = None
    networks: GrantedNetworks = GrantedNetworks()
    is_loud: bool = False
    ratio: float | None = None
    mode: Literal["fast", "safe"] = "safe"


def load(**variables: str) -> Sample:
    return load_settings(Sample, "SAMPLE_", {f"SAMPLE_{name}": value for name, value in variables.items()})


def test_values_are_read_with_the_types_of_the_struct() -> None:
    loaded = load(PORT="8080", TOKEN="123", FOLDER="/x", HOSTS="a, b", IS_LOUD="true", RATIO="0.5", MODE="fast")

    assert loaded == Sample(
        port=8080, token="123", folder=Path("/x"), hosts=("a", "b"), is_loud=True, ratio=0.5, mode="fast"
    )


def test_defaults_fill_what_is_not_set() -> None:
    assert load(PORT="1", TOKEN="t") == Sample(port=1, token="t")


def test_variables_of_other_programs_are_left_alone() -> None:
    settings = load_settings(Sample, "SAMPLE_", {"SAMPLE_PORT": "1", "SAMPLE_TOKEN": "t", "OTHER_PORT": "x"})

    assert settings.port == 1


def test_a_missing_variable_is_named_with_its_remedy() -> None:
    with pytest.raises(InvalidSettingsError) as refused:
        load(TOKEN="t")

    assert str(refused.value) == "SAMPLE_PORT is not set; set it to a whole number: where the program listens"


@pytest.mark.parametrize("port", ["http", "0", "65536", "1.5"])
def test_a_value_that_does_not_fit_is_refused_without_being_repeated(port: str) -> None:
    with pytest.raises(InvalidSettingsError, match="SAMPLE_PORT does not fit") as refused:
        load(PORT=port, TOKEN="t")

    assert f"'{port}'" not in str(refused.value)


class Range(msgspec.Struct, frozen=True, kw_only=True):
    lowest: int = 0
    highest: int = 9

    def __post_init__(self) -> None:
        if self.lowest > self.highest:
            raise ValueError(f"LOWEST cannot be {self.lowest} while HIGHEST is {self.highest}")


def test_fields_that_do_not_fit_each_other_are_refused_by_their_full_name() -> None:
    with pytest.raises(InvalidSettingsError) as refused:
        load_settings(Range, "SAMPLE_", {"SAMPLE_LOWEST": "10"})

    assert str(refused.value) == "SAMPLE_LOWEST cannot be 10 while HIGHEST is 9"


def test_an_address_is_read_and_a_name_is_refused() -> None:
    assert load(PORT="1", TOKEN="t", BIND="10.2.0.7").bind == IPv4Address("10.2.0.7")
    with pytest.raises(InvalidSettingsError, match=r"SAMPLE_BIND does not fit .* set it to an IPv4 address"):
        load(PORT="1", TOKEN="t", BIND="gateway.example")


def test_a_network_that_is_none_is_quoted() -> None:
    reason = (
        r"SAMPLE_NETWORKS does not fit \('10\.2\.0\.0/33' is not a network such as 10\.2\.0\.0/16.*; set it to a list"
    )

    with pytest.raises(InvalidSettingsError, match=reason):
        load(PORT="1", TOKEN="t", NETWORKS="10.1.0.0/16,10.2.0.0/33")


def test_an_empty_value_is_refused() -> None:
    with pytest.raises(InvalidSettingsError, match="SAMPLE_TOKEN is empty; set it to a string"):
        load(PORT="1", TOKEN=" ")


def test_an_unknown_variable_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(InvalidSettingsError, match=r"SAMPLE_PROT is not a setting; did you mean SAMPLE_PORT?"):
        load(PORT="1", TOKEN="t", PROT="2")


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidSettingsError, match=r"SAMPLE_PORT .*SAMPLE_TOKEN .*SAMPLE_MODE .*fast, safe"):
        load(MODE="slow")


def test_the_reference_lists_each_variable_with_kind_default_and_purpose() -> None:
    lines = {line.variable: line for line in describe_settings(Sample, "SAMPLE_")}

    assert lines["SAMPLE_PORT"].default is None
    assert lines["SAMPLE_PORT"].purpose == "where the program listens"
    assert (lines["SAMPLE_RATIO"].kind, lines["SAMPLE_RATIO"].default) == ("a number", "None")
    assert lines["SAMPLE_MODE"].kind == "one of fast, safe"
    assert lines["SAMPLE_HOSTS"].kind == "a list, separated by commas"
