import json

import httpx

from serving.gateway.instance_health import InstanceHealth


def clusters(*hosts: tuple[int, bool, int], name: str = "d1") -> bytes:
    """Word Envoy's answer: port, whether the instance is ejected, and how many requests it answered."""
    statuses = [
        {
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "health_status": {"eds_health_status": "HEALTHY", **({"failed_outlier_check": True} if ejected else {})},
            "stats": [{"name": "cx_total", "value": "9"}, {"name": "rq_success", "value": str(answered)}],
            "priority": 1,
        }
        for port, ejected, answered in hosts
    ]
    pipe = {"address": {"pipe": {"path": "x.sock"}}, "health_status": {}}
    document = {"cluster_statuses": [{"name": name, "host_statuses": statuses}, {"name": "x", "host_statuses": [pipe]}]}
    return json.dumps(document).encode()


def health() -> InstanceHealth:
    return InstanceHealth(httpx.AsyncClient(timeout=60))


def test_an_ejected_instance_is_lost_until_it_has_answered_again() -> None:
    seen = health()

    assert seen.take(clusters((1, False, 7), (2, False, 7))) == frozenset()
    assert seen.take(clusters((1, True, 7), (2, False, 8))) == {("127.0.0.1", 1)}
    # The ejection is over, and no one has tried it.
    assert seen.take(clusters((1, False, 7), (2, False, 9))) == {("127.0.0.1", 1)}
    assert seen.take(clusters((1, False, 8), (2, False, 9))) == frozenset()


def test_an_instance_that_is_announced_anew_begins_anew() -> None:
    seen = health()
    seen.take(clusters((1, True, 7)))

    assert seen.take(clusters()) == frozenset()
    assert seen.take(clusters((1, False, 0))) == frozenset()
