"""What a program counts and measures, for a scraper: OpenMetrics over HTTP on a port of its own.

Parts of a program keep plain numbers; they are read when somebody asks, in the thread that answers.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Literal, TypeAlias
from wsgiref.simple_server import WSGIServer

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.errors import PortTakenError

MetricsPort: TypeAlias = (
    Annotated[int, msgspec.Meta(ge=1, le=65_535, description="port that serves GET /metrics; unset: none")] | None
)
Read: TypeAlias = Callable[[], float]
ReadEach: TypeAlias = Callable[[], Mapping[str, float]]

_Kind: TypeAlias = Literal["counter", "gauge"]


class Metrics:
    """The metrics of one program. Those of its process (CPU, memory, files, start) are there from the beginning."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

    def counter(self, name: str, meaning: str, read: Read) -> None:
        """Show a number that only grows, as `<name>_total`."""
        self._show("counter", name, meaning, lambda: {"": read()})

    def counters(self, name: str, meaning: str, *, label: str, read: ReadEach) -> None:
        """Show a growing number for each value of a label; there are few of them."""
        self._show("counter", name, meaning, read, label=label)

    def gauge(self, name: str, meaning: str, read: Read) -> None:
        """Show a number that goes up and down."""
        self._show("gauge", name, meaning, lambda: {"": read()})

    def gauges(self, name: str, meaning: str, *, label: str, read: ReadEach) -> None:
        """Show such a number for each value of a label."""
        self._show("gauge", name, meaning, read, label=label)

    @contextmanager
    def served(self, port: int | None, *, host: str) -> Iterator[None]:
        """Answer at the address until the block is left; without a port, do nothing.

        Raises:
            PortTakenError: it is another's.
        """
        if port is None:
            yield
            return
        server, thread = self._begin(port, host)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _begin(self, port: int, host: str) -> tuple[WSGIServer, threading.Thread]:
        try:
            return start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise PortTakenError(port=port, purpose="metrics") from error

    def _show(self, kind: _Kind, name: str, meaning: str, read: ReadEach, *, label: str | None = None) -> None:
        self.registry.register(_Reading(kind, name, meaning, label=label, read=read))


class _Reading(Collector):
    def __init__(self, kind: _Kind, name: str, meaning: str, *, label: str | None, read: ReadEach) -> None:
        self._kind = kind
        self._name = name
        self._meaning = meaning
        self._labels = (label,) if label else ()
        self._read = read

    def describe(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        # Told without reading, as the parts that are read may not be ready when the metric is made.
        return (self._family(),)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        family = self._family()
        for value, number in self._read().items():
            family.add_metric([value] if self._labels else [], number)
        yield family

    def _family(self) -> CounterMetricFamily | GaugeMetricFamily:
        form = CounterMetricFamily if self._kind == "counter" else GaugeMetricFamily
        return form(self._name, self._meaning, labels=self._labels)
