"""Our logs: one line an event, as JSON or text, with what is being worked on, and without secrets."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.contextvars import merge_contextvars
from structlog.typing import EventDict, WrappedLogger

from m2m_pipeline.domain.iccid import without_iccids

HIDDEN = "[hidden]"
_SERVER = "uvicorn.error"
_LEVELS = {"m2m_pipeline": logging.INFO, _SERVER: logging.WARNING, "asyncio": logging.WARNING}
_ECHO = "Exception in ASGI application"
_SECRETS = (
    # NAME: VALUE, NAME=VALUE and "NAME": "VALUE", a scheme such as Basic included
    (
        re.compile(
            r"""(?ix) \b (authorization | x-api-key | [\w-]*api[_-]?key | [\w-]*password | [\w-]*secret | [\w-]*token)
            (["']? \s* [:=] \s* ["']?) (?: (?:basic|bearer) \s+ )? [^\s"',;&]+"""
        ),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(basic|bearer)\s+[\w+/=.~-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\bm2m_[\w-]{40,}"), HIDDEN),  # a key of ours: no other name is so long
    (re.compile(r"\beyJ[\w-]+(?:\.[\w-]*){2,}"), HIDDEN),  # a token (JWT), also without a scheme before it
    (re.compile(r"gAAAA[\w-]{20,}={0,2}"), HIDDEN),  # what Fernet has encrypted
    (re.compile(r"(\b[\w+.-]+://[^\s:/@]*):[^\s@]+@"), rf"\1:{HIDDEN}@"),  # a password in an address
)


def redacted(text: str) -> str:
    """The text without what looks like a credential, its ICCIDs shortened. A net below the rule that none is logged."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return without_iccids(text)


def configure(log_format: str) -> None:
    """Send the logs of the package and of its HTTP server to standard error as `json` or `text`; safe to call again."""
    ours = logging.getLogger("m2m_pipeline")
    handler = next((one for one in ours.handlers if isinstance(one, _StandardError)), None) or _StandardError()
    renderer = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
    )
    shared = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                renderer,
            ],
        )
    )
    for name, level in _LEVELS.items():
        logger = logging.getLogger(name)
        if handler not in logger.handlers:
            logger.addHandler(handler)
            logger.setLevel(level)
    logging.getLogger(_SERVER).addFilter(_is_no_echo)


def _is_no_echo(record: logging.LogRecord) -> bool:
    """Not an error of the application: the one who answered it with a problem document has logged it."""
    return not record.getMessage().startswith(_ECHO)


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # pyright: ignore[reportIncompatibleVariableOverride] -- looked up at each record
        """Standard error."""
        return sys.stderr


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: _hidden(value) for name, value in event.items()}


def _hidden(value: Any) -> Any:  # noqa: ANN401 - a log's values are anything
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: _hidden(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden(inner) for inner in value]
    return value
