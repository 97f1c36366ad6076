"""First and last: a number for the request, and one line about it. No person, no query string, no body."""

from __future__ import annotations

import secrets
import sys
import time
import traceback
from functools import lru_cache

import structlog
from flask import Response, g, request
from jinja2 import TemplateError
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from structlog.typing import ExcInfo
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from extranet.i18n import DEFAULT_LANGUAGE, best_language, use_language
from extranet.request.current import current
from extranet.request.state import State
from tenants.errors import TenancyError

_SAFE_METHODS = frozenset({"GET", "HEAD"})

# Of what these say it is known what it is made of. Any other error may quote what somebody typed.
_QUOTED = (
    TenancyError,
    DBAPIError,
    InvalidRequestError,
    TemplateError,
    OSError,
    AttributeError,
    ImportError,
    NameError,
    TypeError,
)

logger = structlog.get_logger("extranet.request")


def configure() -> None:
    """Write one JSON object a line to standard error. Tracebacks carry no values: those hold passwords."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_trace),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def begin() -> None:
    """Open the books for a request."""
    # Threads are reused: without this one would speak the language of the request before. It is also what a page
    # says that refuses the request before anybody is known.
    use_language(_best_language(request.headers.get("Accept-Language", "")))
    g.extranet = State(secrets.token_hex(8), time.monotonic(), writes=request.method not in _SAFE_METHODS)


@lru_cache(maxsize=256)
def _best_language(accepted: str) -> str:
    return best_language(parse_accept_header(accepted, LanguageAccept).values(), DEFAULT_LANGUAGE)


def finish(response: Response) -> Response:
    """Write the request's line."""
    state = current.state
    response.headers["X-Request-Id"] = state.request_id
    logger.info(
        "request",
        id=state.request_id,
        tenant=str(state.tenant.uuid) if state.tenant else "-",
        method=request.method,
        route=str(request.url_rule or "-"),
        status=response.status_code,
        ms=round((time.monotonic() - state.started) * 1000, 1),
    )
    return response


def _trace(exc_info: ExcInfo) -> str:
    """Return where an error and what led to it came from, the first cause first."""
    told: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None:
        told[:0] = [*traceback.format_tb(error.__traceback__), _named(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "".join(told).rstrip()


def _named(error: BaseException) -> str:
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    return f"{name}: {error}\n" if isinstance(error, _QUOTED) else f"{name}\n"
