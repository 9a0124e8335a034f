"""
Logs: one JSON object a line, on standard error, of named facts only.

A field that is not in `ALLOWED` is dropped, whoever logs it: patients' data cannot leave by a new
log line somebody forgot to think about.
"""

import logging
import logging.config
from collections.abc import MutableMapping
from typing import Any

import structlog

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "logger",
        "message_id", "state", "source", "consumer", "trigger", "error", "place", "bytes", "reason", "peer", "open",
        "http_port", "mllp_port", "dicom_port", "status", "method", "route", "correlation_id", "seconds", "files",
        "sqlite_version",
    }
)  # fmt: skip


def configure(level: str = "INFO") -> None:
    """Send every logger of this process to standard error as JSON, at or above a level."""
    shared = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        only_allowed,
                        structlog.processors.JSONRenderer(),
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": level},
        }
    )


def only_allowed(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep the named fields; the text of an exception is not one of them."""
    return {name: value for name, value in fields.items() if name in ALLOWED}
