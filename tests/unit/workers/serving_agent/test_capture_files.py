from pathlib import Path

import msgspec
import pytest

from infra.kafka.connection import KafkaConnection
from schemas.events.endpoints import CapturePolicy
from serving.capture.policy_file import PolicyFile, PolicyInForce
from workers.serving_agent.capture_files import CaptureFiles
from workers.serving_agent.digest_keys import DigestKeys
from workers.serving_agent.errors import CaptureNotHandedOverError
from workers.serving_agent.settings import AgentSettings

KEYS = DigestKeys("00" * 32)
SPARING = PolicyInForce(version=4, policy=CapturePolicy(sampling_rate=0.5), workspace="default")
HANDED_OVER = msgspec.structs.replace(SPARING, hash_key=KEYS.of("default"))


@pytest.fixture
def settings(tmp_path: Path) -> AgentSettings:
    return AgentSettings(
        data_dir=tmp_path,
        api_url="http://127.0.0.1:1",
        token_file=tmp_path / "token",
        kafka=KafkaConnection(bootstrap="127.0.0.1:1"),
        ready_file=tmp_path / "ready",
    )


def test_each_endpoint_has_a_file_that_its_engines_read(settings: AgentSettings) -> None:
    default = PolicyInForce(workspace="tenant")
    CaptureFiles(settings, KEYS).hand_over({"endpoint-1": SPARING, "endpoint-2": default})

    assert PolicyFile(settings.capture_file_of("endpoint-1", workspace="default")).read() == HANDED_OVER
    of_the_tenant = msgspec.structs.replace(default, hash_key=KEYS.of("tenant"))
    assert PolicyFile(settings.capture_file_of("endpoint-2", workspace="tenant")).read() == of_the_tenant
    assert settings.capture_file_of("endpoint-1", workspace="default").stat().st_mode & 0o777 == 0o600


def test_a_policy_that_is_there_already_is_not_written_again(settings: AgentSettings) -> None:
    files = CaptureFiles(settings, KEYS)
    files.hand_over({"endpoint-1": SPARING})
    engine = PolicyFile(settings.capture_file_of("endpoint-1", workspace="default"))
    engine.read()

    files.hand_over({"endpoint-1": SPARING})

    assert engine.replaced() is None


def test_a_policy_that_cannot_be_written_is_an_error_and_is_tried_again(settings: AgentSettings) -> None:
    files, folder = CaptureFiles(settings, KEYS), settings.capture_file_of("endpoint-1", workspace="default").parent
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"a file where the folder should be")
    with pytest.raises(CaptureNotHandedOverError, match="endpoint-1"):
        files.hand_over({"endpoint-1": SPARING})
    folder.unlink()

    files.hand_over({"endpoint-1": SPARING})

    assert PolicyFile(settings.capture_file_of("endpoint-1", workspace="default")).read() == HANDED_OVER
