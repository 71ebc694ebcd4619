"""What a document says of its stream."""

import msgspec


class StreamBase(msgspec.Struct, frozen=True, kw_only=True):
    """Which stream it is, when it began and how many events it has; empty before the first."""

    id: str = ""
    workspace: str = ""
    created_at: str = ""
    stream_version: int = 0
