"""The example of a downstream program, which knows nothing of Rollbook but its topic."""

import sys

from tests.support.kafka_node import Node
from tests.support.serving_table import check_serving_table


async def test_it_shows_what_serves_each_endpoint_and_each_change_of_that(node: Node) -> None:
    await check_serving_table([sys.executable, "-P", "serving_table.py"], node.connection)
