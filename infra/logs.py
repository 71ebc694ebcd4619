"""Structured logs on standard error: JSON lines, or colours when a person watches."""

import logging
import sys

import structlog
from structlog.typing import Processor


def configure_logs(program: str, *, level: int = logging.INFO) -> None:
    """Send structlog and the standard library's loggers to one stream in one form.

    Called once at the rim of a process. ``program`` is bound to each line.
    """
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(program=program)
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(watched=sys.stderr.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    # One line for each request would bury what a person looks for.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]


def _renderers(*, watched: bool) -> list[Processor]:
    if watched:
        return [structlog.dev.ConsoleRenderer(timestamp_key="at")]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
