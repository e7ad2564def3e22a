"""JSON lines on stderr: a stable event name plus bound context (job, org, run, correlation id).

    log = get_logger(__name__)
    log.info("job.retried", job_id=17, kind="http.call", attempt=3)

Secrets never reach a line: values under the keys of `_SECRET` are masked, wherever they sit in the event.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET = re.compile(
    r"(pass(word|wd)?|secret|token|authorization|cookie|credentials?|api_?key|private_?key|signature)$", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):([^/@\s]+)@")
MASK = "[masked]"


def redact(value: Any) -> Any:
    """A copy of `value` with everything under a secret-sounding key masked. Also for job args shown to people."""
    if isinstance(value, dict):
        return {k: MASK if isinstance(k, str) and _SECRET.search(k) else redact(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(v) for v in value]
    if isinstance(value, str) and "://" in value:
        return _URL_PASSWORD.sub(rf"\1:{MASK}@", value)
    return value


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return redact(dict(event))  # type: ignore[no-any-return]


def configure_logging(level: str = "INFO", *, json: bool = True) -> None:
    """Call once per process. Safe to call again."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def get_logger(name: str) -> Any:
    return structlog.stdlib.get_logger(name)
