"""Steady requests at the gateways of several regions, and what each answer said of itself."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import msgspec

from tests.support.digits import row_request
from tests.support.plain_http import NO_AUTHORITIES

_PAUSE_S = 0.02
_TIMEOUT_S = 30.0
_CALLERS = 2


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as a caller saw it; the region is that of the instance."""

    gateway: str
    status: int
    version: str
    region: str
    instance: str
    epoch: str
    text: str


class RegionTraffic:
    """The answers so far, by the gateway's region."""

    def __init__(self, urls: Mapping[str, str], *, endpoint: str, token: str) -> None:
        self._urls = urls
        self._path = f"/v2/models/{endpoint}/infer"
        self._headers = {"authorization": f"Bearer {token}"}
        self._is_over = threading.Event()
        self.answers: dict[str, list[Answer]] = {gateway: [] for gateway in urls}
        self._threads = [
            threading.Thread(target=self._call, args=(gateway,), daemon=True)
            for gateway in urls
            for _ in range(_CALLERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(2 * _TIMEOUT_S)

    @property
    def failures(self) -> list[Answer]:
        return [answer for answers in self.answers.values() for answer in answers if answer.status != 200]

    def last(self, gateway: str, count: int = 20) -> list[Answer]:
        return self.answers[gateway][-count:]

    def comes_from(self, gateway: str, *, region: str | None = None, version: str | None = None) -> bool:
        """Return whether the last answers at a gateway all came from a region, or a version."""
        last = self.last(gateway)
        return len(last) == 20 and all(
            region in (None, answer.region) and version in (None, answer.version) for answer in last
        )

    def _call(self, gateway: str) -> None:
        body = row_request()
        body["inputs"][0]["datatype"] = "FP64"
        with httpx.Client(
            base_url=self._urls[gateway], headers=self._headers, timeout=_TIMEOUT_S, verify=NO_AUTHORITIES
        ) as client:
            while not self._is_over.is_set():
                self.answers[gateway].append(self._ask(client, gateway, body))
                time.sleep(_PAUSE_S)

    def _ask(self, client: httpx.Client, gateway: str, body: object) -> Answer:
        try:
            answer = client.post(self._path, json=body)
        except httpx.HTTPError as error:
            return Answer(gateway=gateway, status=0, version="", region="", instance="", epoch="", text=repr(error))
        headers = answer.headers
        return Answer(
            gateway=gateway,
            status=answer.status_code,
            version=headers.get("x-rollbook-version", ""),
            region=headers.get("x-rollbook-region", ""),
            instance=headers.get("x-rollbook-instance", ""),
            epoch=headers.get("x-rollbook-epoch", ""),
            text="" if answer.is_success else answer.text,
        )


@contextmanager
def region_traffic(urls: Mapping[str, str], *, endpoint: str, token: str) -> Iterator[RegionTraffic]:
    """Send requests to all gateways until the block is left."""
    traffic = RegionTraffic(urls, endpoint=endpoint, token=token)
    traffic.start()
    try:
        yield traffic
    finally:
        traffic.stop()
