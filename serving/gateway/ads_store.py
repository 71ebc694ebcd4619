"""The state that Envoy should have: the newest body of each resource, and a serial number of its last change."""

from collections.abc import Iterable

import msgspec

from serving.gateway.resources import Resource, Update

Key = tuple[str, str]
"""(type, name) of a resource."""


class Held(msgspec.Struct, frozen=True):
    """A resource at a serial number; `resource` is None once it is removed."""

    serial: int
    resource: Resource | None


class AdsStore:
    """The newest state by (type, name). A removed resource leaves a tombstone, so that a stream can inform Envoy."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Held]] = {}
        self._serial = 0

    def put(self, update: Update) -> dict[Key, int]:
        """Take an update; return the changed keys with their serials, without resources that are equal."""
        changed: dict[Key, int] = {}
        for resource in update.resources:
            before = self.get((resource.type_url, resource.name))
            if before and before.resource and before.resource.version == resource.version:
                continue
            changed[resource.type_url, resource.name] = self._hold(resource.type_url, resource.name, resource)
        for type_url, name in update.removed:
            before = self.get((type_url, name))
            if before and before.resource:
                changed[type_url, name] = self._hold(type_url, name, None)
        return changed

    def get(self, key: Key) -> Held | None:
        """Return the entry, which may be a tombstone."""
        return self._held.get(key[0], {}).get(key[1])

    def names(self, type_url: str) -> list[str]:
        """Return the names of a type's resources that are not removed."""
        return [name for name, held in self._held.get(type_url, {}).items() if held.resource]

    def serials(self, keys: Iterable[Key]) -> dict[Key, int]:
        """Return the current serials of these keys; unknown keys are left out."""
        return {key: held.serial for key in keys if (held := self.get(key))}

    def _hold(self, type_url: str, name: str, resource: Resource | None) -> int:
        self._serial += 1
        self._held.setdefault(type_url, {})[name] = Held(self._serial, resource)
        return self._serial
