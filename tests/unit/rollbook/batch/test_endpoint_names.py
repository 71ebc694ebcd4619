"""A name that no header carries is refused before anything is sent."""

import pytest

from rollbook import RollbookError
from rollbook.batch.endpoint import ScoredEndpoint


@pytest.mark.parametrize("name", ["prüfung", "a\nb", "digits…", "\udcff"])
def test_a_name_that_no_header_carries_is_refused(name: str) -> None:
    with pytest.raises(RollbookError, match="is not the name of an endpoint"):
        ScoredEndpoint("http://127.0.0.1:9", name, mint=str, give_up_after_s=1.0)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(RollbookError, match="write http://HOST:PORT"):
        ScoredEndpoint("localhost:8081", "digits", mint=str, give_up_after_s=1.0)
