"""What data directories of earlier releases remember of their migrations stays true, wherever the files are."""

from infra.clickhouse.migrator import read_migrations
from projections.table_layout import migration_folders

APPLIED = {
    "0001_create_domain_events.sql": "b9dbd5afade70986b4b697bfaa016dcf",
    "0002_create_request_records.sql": "c83c9aec18a213ab1571e9eb774189f4",
    "0003_create_observation_records.sql": "6c4e552aec7330b72b0da8cf0145681e",
    "0004_create_feedback.sql": "0080a75b42888f2fc30076682a676f71",
    "0005_create_sources.sql": "31396a4117adc58a9ec70412f62e2988",
    "0006_create_sink_positions.sql": "f9c5bff7fbeaa61e1faefc2a67d39d7b",
    "0007_create_rollout_timeline.sql": "53bce649618f4841d6e1cfb3e51a73f5",
    "0008_create_sink_identity.sql": "08b97152a5f7f59e6356a559a11471b6",
    "0009_add_tokens_to_observation_records.sql": "3d8139f6dddb2b8d31992b517b13fdaf",
    "0010_add_capture_policy_to_observation_records.sql": "31fbc8f0aad2e52c1ce53af2cfd7484c",
    "0011_create_telemetry_samples.sql": "fef8dc9d595104068b49152df6542ecb",
    "0012_add_trace_to_request_records.sql": "5c6aa248e845f3b678b7c4e6fcdeecfa",
    "0016_add_failover_to_request_records.sql": "442e456dff58871a6752660e99a5fd79",
    "0017_count_broken_answers_as_errors.sql": "5ab68fd5f67f15a85a7b24e6c3966d70",
}
"""The files of every release, with the first half of their SHA-256 in hex. Lines are added, never edited."""


def test_a_migration_that_was_applied_is_never_renamed_edited_or_lost() -> None:
    read = {migration.name: migration.checksum[:32] for migration in read_migrations(migration_folders())}

    assert {name: read.get(name) for name in APPLIED} == APPLIED
