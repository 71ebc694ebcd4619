"""When a request is retried, and where: on another instance first, then at the next level of the failover policy."""

import msgspec
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from google.protobuf import wrappers_pb2

from schemas.events.endpoints import FailoverPolicy
from serving.gateway import names
from serving.gateway.protos import packed, seconds
from serving.gateway.routing_state import EndpointRoute

# A dead instance has the fewest requests, so "least request" keeps choosing it until it is ejected; in slow start,
# sixteen times out of seventeen if the other instance has sixteen requests in progress.
_HOST_CHOICES = 100
_MIN_RETRIES = 2
_MAX_RETRIES = 10
_FEW_LEVELS = 2


# Requests that a waiting room releases are all retried at the same moment.
MAX_HELD = 64


def policy_in_force(endpoint: EndpointRoute) -> FailoverPolicy:
    """Return an endpoint's failover policy; if requests can be held, with what is needed to release them."""
    policy = endpoint.failover
    if not endpoint.holds:
        return policy
    return msgspec.structs.replace(
        policy,
        max_retries=None if policy.max_retries is None else max(1, policy.max_retries),
        retries_at_once=max(MAX_HELD, policy.retries_at_once),
    )


def retry_policy(policy: FailoverPolicy, *, levels: int) -> route_pb2.RetryPolicy:
    """Retry what could not be sent or was not answered; never what an engine answered, even with an error.

    `levels` counts those that have instances.
    """
    other_host = route_pb2.RetryPolicy.RetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts",
        typed_config=packed(previous_hosts_pb2.PreviousHostsPredicate()),
    )
    next_level = route_pb2.RetryPolicy.RetryPriority(
        name="envoy.retry_priorities.previous_priorities",
        typed_config=packed(
            previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=tries_a_level(levels))
        ),
    )
    again = route_pb2.RetryPolicy(
        retry_on="connect-failure,refused-stream,reset,retriable-headers",
        retriable_headers=[route_pb2.HeaderMatcher(name=names.UNANSWERED, present_match=True)],
        num_retries=wrappers_pb2.UInt32Value(value=retries(policy, levels=levels)),
        retry_host_predicate=[other_host],
        retry_priority=next_level,
        host_selection_retry_max_attempts=_HOST_CHOICES,
        retry_back_off=route_pb2.RetryPolicy.RetryBackOff(base_interval=seconds(0.005), max_interval=seconds(0.05)),
    )
    if policy.per_try_timeout_ms is not None:
        again.per_try_timeout.CopyFrom(seconds(policy.per_try_timeout_ms / 1_000))
    return again


def retries(policy: FailoverPolicy, *, levels: int) -> int:
    """Return how often a request is retried, so that it reaches the last level when all others are gone."""
    if policy.max_retries is not None:
        return policy.max_retries
    return max(_MIN_RETRIES, min(2 * (levels - 1), _MAX_RETRIES))


def tries_a_level(levels: int) -> int:
    """Return how often a level is tried before the next: another instance first, if possible.

    Envoy only re-evaluates what is left when it changes the level; in between, it may choose one whose last instance
    was just ejected, and give up. With two attempts at two levels there is nothing in between.
    """
    return 2 if levels <= _FEW_LEVELS else 1
