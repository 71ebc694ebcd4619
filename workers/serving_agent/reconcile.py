"""What to do so that what runs becomes what is wanted. Pure: desired × actual → actions."""

import itertools
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeAlias

import msgspec


class Slot(msgspec.Struct, frozen=True, order=True):
    """The place of one replica of a deployment; processes come and go, while its port and instance id stay."""

    deployment_id: str
    replica: int


class Actual(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent has: slots that it keeps or is retiring, its records, models on disk, announcements."""

    kept: frozenset[Slot] = frozenset()
    retiring: frozenset[Slot] = frozenset()
    recorded: Mapping[Slot, str] = {}
    models: frozenset[str] = frozenset()
    announced: frozenset[str] = frozenset()


class Keep(msgspec.Struct, frozen=True, order=True):
    """Start an instance in the slot, or adopt the one on record, and keep it running."""

    slot: Slot


class Retire(msgspec.Struct, frozen=True, order=True):
    """Withdraw, drain and stop the instance of the slot."""

    slot: Slot


class Disown(msgspec.Struct, frozen=True, order=True):
    """Withdraw an instance that the control plane lists but that is unknown here."""

    instance_id: str


class DiscardModel(msgspec.Struct, frozen=True, order=True):
    """Delete a model that no slot uses."""

    deployment_id: str


Action: TypeAlias = Keep | Retire | Disown | DiscardModel


def reconcile(replicas: Mapping[str, int], actual: Actual, *, is_complete: bool = True) -> list[Action]:
    """Return the actions, retirements first: they free the ports and memory that others may need.

    A slot that is still retiring is left alone; if a replica is wanted again meanwhile, it gets the next free slot,
    because requests may be waiting for it and a drain may take long. If what is wanted could not be read completely,
    slots of deployments that are not named are left alone: they may be wanted.
    """
    present = actual.kept | actual.recorded.keys()
    wanted = {slot for deployment, count in replicas.items() for slot in _wanted(deployment, count, present, actual)}
    used = {slot.deployment_id for slot in present | actual.retiring} | replicas.keys()
    unwanted = {slot for slot in present - wanted if is_complete or slot.deployment_id in replicas}
    unused = actual.models - used if is_complete else frozenset()
    return [
        *(Retire(slot) for slot in sorted(unwanted - actual.retiring)),
        *(Disown(instance) for instance in sorted(actual.announced - set(actual.recorded.values()))),
        *(Keep(slot) for slot in sorted(wanted - actual.kept - actual.retiring)),
        *(DiscardModel(deployment) for deployment in sorted(unused)),
    ]


def _wanted(deployment: str, count: int, present: AbstractSet[Slot], actual: Actual) -> Iterator[Slot]:
    """Choose slots: filled ones first, the lowest of them, then the lowest free ones."""
    filled = sorted(slot for slot in present - actual.retiring if slot.deployment_id == deployment)
    free = (Slot(deployment, replica) for replica in itertools.count())
    usable = (slot for slot in free if slot not in present and slot not in actual.retiring)
    yield from itertools.islice(itertools.chain(filled, usable), count)
