import msgspec
import pytest

from infra.kafka.serving_state import Documents
from schemas.envelope import Sealed
from schemas.events.access import (
    InferenceTokenRevoked,
    InferenceTokensRevoked,
    PrincipalErased,
    PrincipalRegistered,
    SigningKey,
    SigningKeyRotated,
    TokenIssued,
)
from schemas.events.endpoints import DeploymentRemoved, EndpointRemoved, TrafficApplied
from schemas.events.registry import ModelRegistered, VersionAliasRemoved, VersionAliasSet
from serving.gateway.priorities import Home
from serving.gateway.route_documents import NOTHING, Change
from serving.gateway.routing_state import RoutingSnapshot, TokenRules
from serving.gateway.routing_table import RoutingTable
from serving.gateway.token_rules import keys_of_all, tokens_revoked_in_all
from tests.support.routing import NOTHING_KNOWN, Log, added, announced, created, shifted, snapshot, withdrawn

ENDPOINT = "endpoint-1"
HOME = Home(gateway_id="gateway-1")
REGISTERED = PrincipalRegistered(
    kind="service", role="viewer", name=Sealed(key_id="key-1", ciphertext="AA=="), email=None
)


class Story:
    """A table that is told events."""

    def __init__(self) -> None:
        self.log = Log()
        self.table = RoutingTable(NOTHING_KNOWN, home=HOME)

    def tell(self, stream: str, event: msgspec.Struct) -> Change:
        return self.table.take(self.log.append(stream, event))

    def served_epoch(self) -> int | None:
        served = self.table.endpoints[ENDPOINT].served
        return served.epoch if served else None


@pytest.fixture
def story() -> Story:
    story = Story()
    story.tell(ENDPOINT, created())
    story.tell(ENDPOINT, added("a"))
    return story


def test_an_epoch_waits_until_each_deployment_with_weight_has_an_instance(story: Story) -> None:
    story.tell(ENDPOINT, added("b"))
    change = story.tell(ENDPOINT, shifted(a=[(0, 5_000)], b=[(5_000, 10_000)]))
    assert change == NOTHING

    story.tell("instance-1", announced(ENDPOINT, "a"))
    assert story.served_epoch() is None
    assert story.table.waiting(ENDPOINT) == {"b"}

    change = story.tell("instance-2", announced(ENDPOINT, "b"))
    assert story.served_epoch() == 4
    assert ENDPOINT in change.endpoints


def test_the_last_good_epoch_is_served_while_the_next_waits(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell(ENDPOINT, shifted(a=[(0, 10_000)]))
    story.tell(ENDPOINT, added("b"))

    story.tell(ENDPOINT, shifted(b=[(0, 10_000)]))

    assert story.served_epoch() == 3


def test_a_later_epoch_that_can_be_served_overtakes_one_that_waits(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell(ENDPOINT, added("b"))
    story.tell(ENDPOINT, shifted(b=[(0, 10_000)]))

    story.tell(ENDPOINT, shifted(a=[(0, 10_000)]))

    assert story.served_epoch() == 5
    assert story.tell("instance-2", announced(ENDPOINT, "b")).endpoints == frozenset()


def test_a_deployment_without_buckets_needs_no_instance(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell(ENDPOINT, added("b"))

    story.tell(ENDPOINT, shifted(a=[(0, 10_000)], b=[]))

    assert story.served_epoch() == 4


def test_a_withdrawn_instance_takes_no_traffic_and_leaves_the_epoch(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell(ENDPOINT, shifted(a=[(0, 10_000)]))

    change = story.tell("instance-1", withdrawn(ENDPOINT, "a"))

    assert change == Change(deployments=frozenset({"a"}))
    assert list(story.table.instances_of("a")) == []
    assert story.served_epoch() == 3


def test_a_removed_deployment_is_kept_while_it_is_served(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell(ENDPOINT, shifted(a=[(0, 10_000)]))
    story.tell(ENDPOINT, added("b"))
    story.tell(ENDPOINT, shifted(b=[(0, 10_000)]))
    story.tell(ENDPOINT, DeploymentRemoved(deployment_id="a", reason="replaced"))
    assert story.table.version_of("a") is not None

    change = story.tell("instance-2", announced(ENDPOINT, "b"))

    assert story.table.version_of("a") is None
    assert change.deployments == {"a", "b"}


def test_a_document_that_was_seen_changes_nothing(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell(ENDPOINT, shifted(a=[(0, 10_000)]))

    assert story.table.take(story.log.all()) == NOTHING


def test_what_is_not_among_all_documents_is_let_go_by_a_table_that_is_too_old(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell("principal-9", REGISTERED)
    rest = tuple(each for each in story.log.all().records if each.id == ENDPOINT)

    assert story.table.take(Documents(records=rest, is_all=True)) == NOTHING
    change = story.table.take(Documents(records=rest, is_all=True), lets_go=True)

    assert change == Change(deployments=frozenset({"a"}), has_new_tokens=True)
    assert list(story.table.instances_of("a")) == []
    assert story.table.tokens == TokenRules()


def test_an_instance_may_be_read_before_its_endpoint(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell(ENDPOINT, shifted(a=[(0, 10_000)]))
    fresh = RoutingTable(NOTHING_KNOWN)

    fresh.take(story.log.all())

    assert [each.id for each in story.log.all().records][-2:] == ["instance-1", ENDPOINT]
    assert snapshot(fresh) == snapshot(story.table)


def test_an_erased_principal_is_revoked_at_once(story: Story) -> None:
    story.tell("principal-9", REGISTERED)
    story.tell("principal-9", TokenIssued(token_id="token-1", token_sha256="00", expires_at=None))
    assert story.table.tokens == TokenRules()

    change = story.tell("principal-9", PrincipalErased(key_ids=(), reason="asked"))

    assert change.has_new_tokens
    assert story.table.tokens.revoked_subjects == ("principal-9",)


def test_an_applied_epoch_is_not_reported_again(story: Story) -> None:
    applied = TrafficApplied(epoch=3, region="local", gateway_id=HOME.gateway_id, applied_at="2026-01-02T03:04:05.678Z")

    story.tell(ENDPOINT, applied)

    assert story.table.endpoints[ENDPOINT].reported_epoch == 3


@pytest.mark.parametrize(("region", "gateway_id"), [("far", "gateway-1"), ("local", "gateway-2")])
def test_an_epoch_that_another_gateway_serves_is_still_to_be_reported_here(
    story: Story, region: str, gateway_id: str
) -> None:
    elsewhere = TrafficApplied(epoch=3, region=region, gateway_id=gateway_id, applied_at="2026-01-02T03:04:05.678Z")

    story.tell(ENDPOINT, elsewhere)

    assert story.table.endpoints[ENDPOINT].reported_epoch == 0


def test_a_table_started_from_its_snapshot_goes_on_as_the_first(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell(ENDPOINT, shifted(a=[(0, 10_000)]))
    kept = msgspec.json.decode(msgspec.json.encode(snapshot(story.table)), type=RoutingSnapshot)

    second = RoutingTable(kept)
    documents = story.log.append("instance-1", withdrawn(ENDPOINT, "a"))

    assert second.take(documents) == story.table.take(documents)
    assert snapshot(second) == snapshot(story.table)


def test_nothing_is_kept_of_instances_that_are_gone(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))

    story.tell("instance-1", withdrawn(ENDPOINT, "a"))

    by_deployment = {
        name: value for name, value in vars(story.table).items() if isinstance(value, dict) and "a" in value
    }
    assert by_deployment == {"_endpoint_of": {"a": ENDPOINT}}


def test_an_endpoint_that_was_removed_is_forgotten_with_its_deployments(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "a"))
    story.tell(ENDPOINT, shifted(a=[(0, 10_000)]))

    change = story.tell(ENDPOINT, EndpointRemoved(reason="unused"))

    assert change == Change(
        endpoints=frozenset({ENDPOINT}), deployments=frozenset({"a"}), workspaces=frozenset({"default"})
    )
    assert (story.table.endpoints, story.table.endpoint_of("a")) == ({}, None)
    assert snapshot(story.table).endpoints == ()
    assert story.tell("instance-1", withdrawn(ENDPOINT, "a")) == Change(deployments=frozenset({"a"}))


def test_keys_that_are_older_than_an_erasure_do_not_undo_it(story: Story) -> None:
    story.tell("principal-1", REGISTERED)
    story.tell("principal-1", PrincipalErased(key_ids=(), reason="asked for"))

    story.table.renew_tokens(TokenRules(keys=({"kid": "1"},), revoked_subjects=("principal-0",)))

    assert story.table.tokens.revoked_subjects == ("principal-0", "principal-1")


def test_a_principal_that_may_act_again_is_no_longer_refused(story: Story) -> None:
    story.table.renew_tokens(TokenRules(revoked_subjects=("principal-2",)))

    story.table.renew_tokens(TokenRules())

    assert story.table.tokens.revoked_subjects == ()


def test_a_rotation_on_the_log_counts_at_once_and_an_older_answer_does_not_undo_it(story: Story) -> None:
    story.table.renew_tokens(TokenRules(keys=({"kid": "first"},)))
    ended = SigningKey(key_id="first", x="a", signs_from="1970", valid_until="2026-01-02T03:04:05.000Z")
    fresh = SigningKey(key_id="second", x="b", signs_from="2026-01-02T03:04:05.678Z", valid_until=None)

    assert story.tell("keyring-1", SigningKeyRotated(keys=(ended, fresh), reason="leaked")).has_new_tokens
    story.table.renew_tokens(TokenRules(version=0, keys=({"kid": "first"},)))

    assert [key["kid"] for key in story.table.tokens.keys] == ["second"]


def test_a_revocation_on_the_log_counts_at_once_until_an_answer_has_let_it_end(story: Story) -> None:
    until = "2026-01-02T04:05:05.678Z"
    story.tell("keyring-1", InferenceTokenRevoked(token_id="one", until=until, reason="leaked"))
    before = "2026-01-02T03:04:06.000Z"
    revoked = InferenceTokensRevoked(principal_id="principal-2", issued_before=before, until=until, reason="leaked")
    story.tell("keyring-1", revoked)

    rules = story.table.tokens
    assert (rules.revoked_tokens, rules.version) == (("one",), 2)
    assert [(one.principal_id, one.issued_before_s) for one in rules.revoked_principals] == [
        ("principal-2", 1_767_323_046)
    ]
    story.table.renew_tokens(TokenRules(version=2))
    assert story.table.tokens == TokenRules(version=2)


def test_each_workspace_has_keys_and_what_has_ended_of_others_goes_with_the_next_answer(story: Story) -> None:
    story.table.renew_tokens(TokenRules(keys=({"kid": "home"},)))
    ended = SigningKey(key_id="acme.1", x="a", signs_from="1970", valid_until="2026-01-02T03:05:00.000Z")
    fresh = SigningKey(key_id="acme.2", x="b", signs_from="2026-01-02T03:04:05.678Z", valid_until=None)
    story.table.take(
        story.log.append("keyring-2", SigningKeyRotated(keys=(ended, fresh), reason="leaked"), workspace="acme")
    )
    revoked = InferenceTokenRevoked(token_id="one", until="2026-01-02T03:05:00.000Z", reason="leaked")
    story.table.take(story.log.append("keyring-2", revoked, workspace="acme"))

    def known() -> tuple[list[str], list[str]]:
        tokens = story.table.tokens
        return [key["kid"] for key in keys_of_all(tokens)], tokens_revoked_in_all(tokens)

    assert known() == (["home", "acme.1", "acme.2"], ["one"])
    story.table.renew_tokens(TokenRules(keys=({"kid": "home"},)), at="2026-01-02T03:04:59.000Z")
    assert known() == (["home", "acme.1", "acme.2"], ["one"])
    story.table.renew_tokens(TokenRules(keys=({"kid": "home"},)), at="2026-01-02T03:05:00.001Z")
    assert known() == (["home", "acme.2"], [])


def test_a_key_that_an_earlier_release_took_for_one_of_home_is_replaced_by_the_next_answer() -> None:
    taken = TokenRules(version=3, keys=({"kid": "acme.1"},))
    table = RoutingTable(RoutingSnapshot(tokens=taken))

    table.renew_tokens(TokenRules(version=0, keys=({"kid": "home"},)))

    assert [key["kid"] for key in keys_of_all(table.tokens)] == ["home"]


def test_the_home_workspace_may_have_any_name(story: Story) -> None:
    fresh = SigningKey(key_id="second", x="b", signs_from="2026-01-02T03:04:05.678Z", valid_until=None)
    story.table.take(story.log.append("keyring-1", SigningKeyRotated(keys=(fresh,), reason="leaked"), workspace="main"))

    story.table.renew_tokens(TokenRules(workspace="main", keys=({"kid": "first"},)))

    assert [key["kid"] for key in keys_of_all(story.table.tokens)] == ["second"]


MODEL = "model-1"
MODEL_REGISTERED = ModelRegistered(name="digits", description="", tags={})


def test_an_alias_changes_the_routes_of_those_that_deploy_its_version(story: Story) -> None:
    story.tell(MODEL, MODEL_REGISTERED)
    story.tell("endpoint-2", created("other"))

    unused = story.tell(MODEL, VersionAliasSet(alias="next", version_id="version-2", number=2, reason="test"))
    change = story.tell(MODEL, VersionAliasSet(alias="champion", version_id="version-1", number=1, reason="test"))

    assert unused == NOTHING
    assert change == Change(endpoints=frozenset({ENDPOINT}))
    assert story.table.endpoints[ENDPOINT].aliases == {"version-1": ("champion",)}


def test_an_alias_follows_its_events_and_waits_for_a_deployment(story: Story) -> None:
    story.tell(MODEL, MODEL_REGISTERED)
    story.tell(MODEL, VersionAliasSet(alias="champion", version_id="version-1", number=1, reason="test"))
    story.tell(MODEL, VersionAliasSet(alias="champion", version_id="version-2", number=2, reason="test"))
    assert story.table.endpoints[ENDPOINT].aliases == {}

    story.tell(ENDPOINT, added("b", number=2))
    assert story.table.endpoints[ENDPOINT].aliases == {"version-2": ("champion",)}

    story.tell(MODEL, VersionAliasRemoved(alias="champion", reason="test"))
    assert story.table.endpoints[ENDPOINT].aliases == {}


def test_a_table_that_starts_from_a_snapshot_knows_the_aliases(story: Story) -> None:
    story.tell(MODEL, MODEL_REGISTERED)
    story.tell(MODEL, VersionAliasSet(alias="champion", version_id="version-1", number=1, reason="test"))

    again = RoutingTable(snapshot(story.table))

    assert again.endpoints[ENDPOINT].aliases == {"version-1": ("champion",)}
    assert again.aliases == {MODEL: {"champion": "version-1"}}
