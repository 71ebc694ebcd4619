"""When a request is tried again, and where: another instance first, then the next level of the failover policy."""

from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from google.protobuf import wrappers_pb2

from schemas.events.endpoints import FailoverPolicy
from serving.gateway.priorities import TRIES_A_LEVEL, Home, retries
from serving.gateway.protos import packed, seconds

# A dead instance has the fewest requests, so "least request" takes it again and again until it is ejected; while
# others start slowly, sixteen times out of seventeen where the other one has sixteen requests under way.
_HOST_CHOICES = 100


def retry_policy(policy: FailoverPolicy, *, home: Home) -> route_pb2.RetryPolicy:
    """Try again what could not be sent or was not answered; never what an instance answered, be it an error."""
    other_host = route_pb2.RetryPolicy.RetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts",
        typed_config=packed(previous_hosts_pb2.PreviousHostsPredicate()),
    )
    next_level = route_pb2.RetryPolicy.RetryPriority(
        name="envoy.retry_priorities.previous_priorities",
        typed_config=packed(previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=TRIES_A_LEVEL)),
    )
    again = route_pb2.RetryPolicy(
        retry_on="connect-failure,refused-stream,reset",
        num_retries=wrappers_pb2.UInt32Value(value=retries(policy, home=home)),
        retry_host_predicate=[other_host],
        retry_priority=next_level,
        host_selection_retry_max_attempts=_HOST_CHOICES,
        retry_back_off=route_pb2.RetryPolicy.RetryBackOff(base_interval=seconds(0.005), max_interval=seconds(0.05)),
    )
    if policy.per_try_timeout_ms is not None:
        again.per_try_timeout.CopyFrom(seconds(policy.per_try_timeout_ms / 1_000))
    return again
