"""Logging set-up: event names plus fields, as JSON lines or readable text, with node and request bound in.

A citizen's words or name never go into a log: log identifiers and counts.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def set_up(node: str, form: Literal["json", "console"] = "console", level: str = "INFO") -> None:
    """Send structlog and the standard library's loggers to standard error in one form."""

    def of_node(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event.setdefault("node", node)  # not by context: web and worker threads have none of their own
        return event

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        of_node,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False) if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )  # fmt: skip
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.format_exc_info, renderer],
        )
    )  # fmt: skip
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
