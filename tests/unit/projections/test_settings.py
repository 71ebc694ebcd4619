import msgspec
import pytest

from infra.errors import InvalidSettingsError
from infra.settings import load_settings
from projections.settings import PREFIX, ProjectionsSettings

NEEDED = {
    "ROLLBOOK_PROJECTIONS_DATA_DIR": "/data",
    "ROLLBOOK_PROJECTIONS_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "ROLLBOOK_PROJECTIONS_CLICKHOUSE_URL": "http://127.0.0.1:8123",
    "ROLLBOOK_PROJECTIONS_READY_FILE": "/data/ready",
}
DAYS = "ROLLBOOK_PROJECTIONS_RETENTION_DAYS"


def days(**changes: str) -> dict[str, int]:
    environ = NEEDED | {f"{DAYS}_{table.upper()}": value for table, value in changes.items()}
    settings = load_settings(ProjectionsSettings, PREFIX, environ)
    return {**msgspec.structs.asdict(settings.retention_days)}


def test_tables_keep_rows_as_long_as_their_views_say_unless_a_setting_does() -> None:
    usual = days()

    assert (usual["request_records"], usual["feedback"], usual["prediction_index"]) == (7, 30, 400)
    assert days(request_records="90") == usual | {"request_records": 90}


def test_a_table_whose_rows_say_how_long_they_are_kept_has_no_setting() -> None:
    assert "observation_records" not in days()


@pytest.mark.parametrize("value", ["0", "-1", "4000", "1.5", "a week", ""])
def test_a_time_that_is_none_is_refused_by_the_name_of_its_setting(value: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"{DAYS}_FEEDBACK .* days that rows of `feedback` are kept"):
        days(feedback=value)


def test_a_table_that_does_not_exist_is_refused_with_one_that_does() -> None:
    with pytest.raises(InvalidSettingsError, match=f"{DAYS}_REQUEST_RECORD .*did you mean {DAYS}_REQUEST_RECORDS"):
        days(request_record="9")
