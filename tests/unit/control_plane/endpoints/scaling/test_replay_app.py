"""The policy of a replay is read as strictly as the API reads one."""

from pathlib import Path

import pytest

from control_plane.endpoints.scaling.replay_app import main


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (b'{"max_replicas": 2, "in_flight": 4, "max_replicas": 3}', "max_replicas appears twice"),
        (b'{"max_replicas": 2, "in_flight": NaN}', "not valid JSON"),
        (b'{"max_replicas": 2, "inflight": 4}', "inflight is not a known field"),
        ('{"max_replicas": 2}'.encode("utf-16"), "in UTF-16"),
        (b"\xff", "not valid JSON"),
    ],
)
def test_a_wrong_policy_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: bytes, said: str
) -> None:
    code, err = _replayed(tmp_path, capsys, policy)

    assert code == 2
    assert said in err
    assert str(tmp_path / "policy.json") in err
    assert len(err.splitlines()) == 1


def test_a_policy_may_begin_with_a_byte_order_mark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = _replayed(tmp_path, capsys, b'\xef\xbb\xbf{"max_replicas": 2, "in_flight": 4}')

    assert err.startswith("no measurement of deployment-1 is recorded there")


def _replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: bytes) -> tuple[int, str]:
    (tmp_path / "policy.json").write_bytes(policy)
    (tmp_path / "looks.jsonl").write_bytes(b"")
    code = main(
        ["--policy", str(tmp_path / "policy.json"), "--deployment", "deployment-1", str(tmp_path / "looks.jsonl")]
    )
    return code, capsys.readouterr().err
