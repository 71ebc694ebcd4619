"""The synchronous client: the asynchronous one by renaming, as httpcore does it; so the two cannot drift apart."""

import re

_RENAMES = (
    (r"await anyio\.open_file\((\w+), \"(\w+)\"\)", r'\1.open("\2")'),
    (r"\.aread\b", ".read"),
    (r"\.aiter_bytes\b", ".iter_bytes"),
    (r"_wire\.async_(sleep|in_thread|lock)\b", r"_wire.\1"),
    (r"^import anyio\n", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\baclose\b", "close"),
    (r"AsyncIterator", "Iterator"),
    (r"httpx\.AsyncClient", "httpx.Client"),
    (r"rollbook\._async\b", "rollbook._sync"),
    (r"\bAsync(?=[A-Z])", ""),
)


def sync_source(source: str) -> str:
    """Return the synchronous twin of a module's source."""
    for pattern, replacement in _RENAMES:
        source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
    return source
