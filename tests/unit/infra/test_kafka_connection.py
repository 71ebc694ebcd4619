"""What reaches the clients of Kafka of how it is spoken to."""

import ssl
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError
from faust.auth import SASLCredentials

from infra.errors import InvalidSettingsError
from infra.kafka.connection import KafkaConnection, connection_in
from infra.settings import describe_settings, load_settings
from projections.settings import ProjectionsSettings
from projections.sink.stream_worker import WorkerSettings, build_worker


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("s3cret\n")
    return path


def with_user(password_file: Path, protocol: str = "SASL_SSL") -> KafkaConnection:
    variables = {"BOOTSTRAP": "kafka:9092", "SECURITY_PROTOCOL": protocol, "USER": "rollbook"}
    variables |= {"SASL_MECHANISM": "SCRAM-SHA-512", "PASSWORD_FILE": str(password_file)}
    return load_settings(KafkaConnection, "K_", {f"K_{name}": value for name, value in variables.items()})


def test_by_itself_a_client_is_told_no_more_than_where() -> None:
    options = KafkaConnection(bootstrap="kafka:9092").client_options()

    assert options == {"bootstrap_servers": "kafka:9092", "security_protocol": "PLAINTEXT"}


def test_a_user_and_a_certificate_reach_the_clients(password_file: Path) -> None:
    options = with_user(password_file).client_options()

    assert isinstance(options.pop("ssl_context"), ssl.SSLContext)
    assert options == {
        "bootstrap_servers": "kafka:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "rollbook",
        "sasl_plain_password": "s3cret",
    }


async def test_they_reach_faust_as_well(password_file: Path, tmp_path: Path) -> None:
    worker = build_worker(
        WorkerSettings(group="g", member="m", connection=with_user(password_file), data_dir=tmp_path), []
    )

    credentials = worker.app.conf.broker_credentials
    assert isinstance(credentials, SASLCredentials)
    assert credentials.ssl_context is not None
    assert (credentials.username, credentials.password) == ("rollbook", "s3cret")
    assert (credentials.mechanism.value, credentials.protocol.value) == ("SCRAM-SHA-512", "SASL_SSL")


def test_a_program_is_told_what_differs_and_reads_the_same(password_file: Path) -> None:
    told = with_user(password_file).variables

    again = load_settings(KafkaConnection, "X_", {f"X_{name}": value for name, value in told.items()})

    assert again == with_user(password_file)
    assert KafkaConnection(bootstrap="k").variables == {"BOOTSTRAP": "k"}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "X_USER is not set"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "USER": "u"}, "X_PASSWORD_FILE is not set"),
        ({"USER": "u"}, "PLAINTEXT has no user"),
        ({"CA_FILE": "/ca.pem"}, "X_CA_FILE is set"),
        ({"SECURITY_PROTOCOL": "TLS"}, "X_SECURITY_PROTOCOL does not fit"),
        ({"REPLICATION_FACTOR": "0"}, "X_REPLICATION_FACTOR does not fit"),
    ],
)
def test_what_does_not_fit_together_is_refused(more: dict[str, str], reason: str) -> None:
    environ = {f"X_{name}": value for name, value in {"BOOTSTRAP": "k", **more}.items()}

    with pytest.raises(InvalidSettingsError, match=reason):
        load_settings(KafkaConnection, "X_", environ)


def test_a_file_that_is_not_there_is_named_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"K_PASSWORD_FILE is .*absent"):
        with_user(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"CA_FILE is .*absent"):
        KafkaConnection(bootstrap="k", security_protocol="SSL", ca_file=tmp_path / "absent")


def test_a_file_that_goes_away_later_is_an_error_of_kafkas_which_its_callers_wait_out(password_file: Path) -> None:
    connection = with_user(password_file)
    password_file.unlink()

    with pytest.raises(KafkaError, match="password"):
        connection.client_options()


def test_programs_have_its_variables_after_their_own_prefix() -> None:
    described = {one.variable for one in describe_settings(ProjectionsSettings, "P_")}

    assert {"P_KAFKA_BOOTSTRAP", "P_KAFKA_USER", "P_KAFKA_REPLICATION_FACTOR"} <= described
    with pytest.raises(InvalidSettingsError, match="P_KAFKA_BOOTSTRAP is not set"):
        load_settings(ProjectionsSettings, "P_", {"P_KAFKA_USER": "u"})


def test_a_command_reads_of_the_environment_only_what_concerns_its_connection() -> None:
    environ = {"ROLLBOOK_KAFKA_SECURITY_PROTOCOL": "SSL", "ROLLBOOK_KAFKA_PORT": "1", "ROLLBOOK_KAFKA_BOOTSTRAP": "a:1"}

    found = connection_in(environ, bootstrap="b:2")

    assert (found.bootstrap, found.security_protocol) == ("b:2", "SSL")
