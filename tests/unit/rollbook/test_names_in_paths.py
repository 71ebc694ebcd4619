"""A name is one part of a path, whatever it is made of."""

import pytest

from rollbook import RollbookError, _wire


def test_strange_characters_are_quoted() -> None:
    assert _wire.path("/v1/models/{model}", model="a/b c%") == "/v1/models/a%2Fb%20c%25"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_what_would_name_another_path_is_refused(name: str) -> None:
    with pytest.raises(RollbookError, match="not the name of anything"):
        _wire.path("/v1/models/{model}", model=name)
