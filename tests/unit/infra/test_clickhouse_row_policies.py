"""How the embedded server reads CREATE ROW POLICY, and what it tells chDB."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from infra.clickhouse.http_errors import ClickHouseError
from infra.clickhouse.row_policies import (
    Policies,
    PolicyFile,
    RowPolicy,
    configuration,
    filters_of,
    is_row_policy,
    with_created,
)

CREATE = "CREATE ROW POLICY"


def test_a_policy_belongs_to_each_table_that_is_named() -> None:
    policies = with_created(
        {}, f"{CREATE} p ON t, other.u AS restrictive FOR SELECT USING a = ' TO ALL' TO ALL", database="d"
    )

    assert [*policies.values()] == [
        RowPolicy(name="p", database="d", table="t", condition="a = ' TO ALL'", is_restrictive=True),
        RowPolicy(name="p", database="other", table="u", condition="a = ' TO ALL'", is_restrictive=True),
    ]


def test_a_policy_is_replaced_kept_or_refused_as_the_statement_says() -> None:
    known = with_created({}, f"{CREATE} p ON t USING 1 TO ALL", database="d")

    replaced = with_created(known, f"{CREATE} OR REPLACE p ON t USING 2 TO ALL", database="d")
    kept = with_created(known, f"{CREATE} IF NOT EXISTS p ON t USING 2 TO ALL", database="d")
    with pytest.raises(ClickHouseError, match="row policy p ON t already exists"):
        with_created(known, f"{CREATE} p ON t USING 2 TO ALL", database="d")

    assert [policy.condition for policy in replaced.values()] == ["2"]
    assert kept == known


def test_any_permissive_and_every_restrictive_policy_of_a_table_holds() -> None:
    policies: Policies = {}
    for name, kind in (("a", ""), ("b", ""), ("c", " AS restrictive"), ("d", " AS restrictive")):
        policies = with_created(policies, f"{CREATE} {name} ON t{kind} USING {name} TO ALL", database="d")

    assert filters_of(policies) == {("d", "t"): "((a) OR (b)) AND (c) AND (d)"}


@pytest.mark.parametrize(
    "sql",
    [
        f"{CREATE} p ON t USING 1 TO ALL EXCEPT someone",
        f"{CREATE} p ON t USING 1 TO someone",
        f"{CREATE} p ON d.* USING 1 TO ALL",
        f"{CREATE} p ON t ON CLUSTER c USING 1 TO ALL",
        f"{CREATE} a ON t, b ON u USING 1 TO ALL",
        f"{CREATE} p ON `t u` USING 1 TO ALL",
        f"{CREATE} p ON t TO ALL",
    ],
)
def test_what_could_not_be_kept_as_it_is_said_is_refused(sql: str) -> None:
    with pytest.raises(ClickHouseError, match="only knows CREATE ROW POLICY"):
        with_created({}, sql, database="d")


def test_policies_survive_in_their_file(tmp_path: Path) -> None:
    policies = with_created({}, f"{CREATE} p ON t USING a < 'ä' TO ALL", database="d")

    PolicyFile(tmp_path).write(policies)

    assert PolicyFile(tmp_path).read() == policies


def test_a_damaged_file_is_not_taken_for_one_without_policies(tmp_path: Path) -> None:
    (tmp_path / "row_policies.json").write_bytes(b"[{")

    with pytest.raises(RuntimeError, match="cannot be read"):
        PolicyFile(tmp_path).read()


def test_a_condition_reaches_chdb_as_it_was_written() -> None:
    policies = with_created({}, f"{CREATE} p ON t USING a < 1 AND b != '</t>&' TO ALL", database="d")

    with configuration(policies) as config:
        users = ET.parse(config.with_name("users.xml"))  # noqa: S314  our own file

    assert users.findtext("users/default/databases/d/t/filter") == "((a < 1 AND b != '</t>&'))"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (b"create row policy p on t using 1 to all", True),
        (b" CREATE  POLICY p ON t USING 1 TO ALL", True),
        (b"CREATE TABLE policy (a Int8) ENGINE = Memory", False),
        (b"SELECT 'create row policy'", False),
    ],
)
def test_a_statement_about_policies_is_told_from_others(sql: bytes, *, expected: bool) -> None:
    assert is_row_policy(sql) is expected
