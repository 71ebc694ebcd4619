"""Long-lived threads and tasks are started by `infra.background`, so that none of them can die in silence."""

import ast
from collections.abc import Iterator

from tests.architecture.source_tree import product_sources

HOME = "infra/background.py"
STARTERS = {"Thread", "Timer", "create_task", "ensure_future", "start_new_thread"}
AWAITED = "the function or object that starts it waits for it, and meets its failure"
OTHERS: dict[str, str] = {
    "infra/clickhouse/embedded_server.py": AWAITED,
    "infra/shutdown.py": AWAITED,
    "infra/supervisor/process.py": AWAITED,
    "infra/supervisor/stack_runner.py": AWAITED,
    "control_plane/app.py": AWAITED,
    "control_plane/relay/relay.py": AWAITED,
    "control_plane/web/shared_probe.py": "whoever asks next meets its failure",
    "projections/app.py": AWAITED,
    "serving/external/adapter.py": AWAITED,
    "serving/external/relay.py": AWAITED,
    "serving/gateway/ads_server.py": AWAITED,
    "serving/gateway/app.py": AWAITED,
    "serving/gateway/envoy_process.py": AWAITED,
    "serving/gateway/follower.py": AWAITED,
    "serving/gateway/held_streams.py": "one stream of one connection; its failure leaves others alone",
    "serving/gateway/request_shipper.py": AWAITED,
    "serving/gateway/waiting_room.py": "one connection each; and the server, whose end closes the room",
    "serving/gateway/waiting_rooms.py": "the end of one room, waited for at the end of all",
    "serving/runtime/app.py": AWAITED,
    "serving/runtime/either_protocol.py": "one connection",
    "serving/runtime/servers.py": AWAITED,
    "serving/runtime/shared_app.py": "one instance; its run has a rim of its own",
    "serving/capture/in_engine/rollbook_capture/middleware.py": "foreign engines have the standard library alone",
    "serving/capture/in_engine/rollbook_capture/recorder.py": "foreign engines have the standard library alone",
    "workers/batch_server/batches.py": "one batch; its run has a rim of its own",
    "workers/batch_server/line_work.py": AWAITED,
    "workers/batch_server/running.py": AWAITED,
    "workers/serving_agent/fork_server.py": AWAITED,
    "workers/serving_agent/instance_keeper.py": AWAITED,
    "workers/serving_agent/shared_processes.py": AWAITED,
}
"""Who else starts threads and tasks, and why no failure of them is lost."""


def test_long_lived_work_is_started_where_its_failures_are_told() -> None:
    found = {source.where: set(_starts(source.tree)) for source in product_sources()}
    servers = {where for where in found if not where.startswith("clients/")}

    strays = sorted(where for where in servers if found[where] and where not in OTHERS and where != HOME)

    assert strays == []
    assert sorted(where for where in OTHERS if not found.get(where)) == [], "named without need"


def _starts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            # Of a task group the owner meets every failure.
            case ast.Attribute(value=ast.Name(id="asyncio" | "threading" | "loop"), attr=name) if name in STARTERS:
                yield name
            case ast.Name(id=name) if name in STARTERS:
                yield name
            case ast.Attribute(value=ast.Call(), attr="create_task"):
                yield "create_task"
            case _:
                pass
