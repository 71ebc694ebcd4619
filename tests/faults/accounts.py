"""What is told of a chaos run: by its callers of each call, and by whoever did the harm."""

import msgspec

from tests.faults.schedule import Fault


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One call as its caller saw it; `status` is 0 where no answer came, and that of HTTP for gRPC too."""

    kind: str
    sent_at: float
    ended_at: float
    status: int
    prediction_id: str = ""
    version: str = ""
    deployment_id: str = ""
    epoch: int = -1
    error: str = ""


class Harm(msgspec.Struct, kw_only=True):
    """What was done; `until` is when the target was itself again, as far as whoever did it can see."""

    fault: Fault
    began_at: float
    until: float | None = None
    instance_id: str = ""
    note: str = ""

    def __str__(self) -> str:
        lasted = "still" if self.until is None else f"{self.until - self.began_at:.1f} s"
        return f"{self.fault}  {self.instance_id} ({lasted}) {self.note}"
