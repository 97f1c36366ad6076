"""One map outward: which error gives which status and which words. Anything else is a 500 without detail."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog
from flask import Flask, Response, make_response, request
from sqlalchemy.exc import DatabaseError, IntegrityError
from werkzeug.exceptions import HTTPException

from extranet import errors as refused
from extranet.i18n import lazy
from extranet.request import cookies, pages
from extranet.request.csrf import CookieMissing, CsrfRefused
from extranet.request.current import current
from extranet.request.events import note
from extranet.request.paths import asked_path, local_path
from extranet.security_log.events import Event
from tenants import errors as tenancy

logger = structlog.get_logger("extranet.errors")


@dataclass(frozen=True, slots=True)
class Page:
    """Status and words of an error page, translated when it is shown. ``passes``: the address answers again later."""

    status: int
    title: str
    message: str
    advice: str = ""
    passes: bool = False


_NOT_FOUND = Page(
    404,
    lazy("Page not found"),
    lazy("There is nothing at this address."),
    lazy("Check the address, or start again from the home page."),
)
_UNKNOWN_HOST = Page(
    404,
    lazy("Page not found"),
    lazy("There is nothing at this address."),
    lazy("Check the address for typing mistakes."),
)
_BAD_REQUEST = Page(400, lazy("Request not understood"), lazy("Your browser sent something this server cannot read."))
_UNAVAILABLE = Page(
    503,
    lazy("Temporarily unavailable"),
    lazy("This extranet cannot be reached right now."),
    lazy("Nothing you saved is lost. Please try again in a few minutes."),
    passes=True,
)
_BEHIND = Page(
    503,
    lazy("Being updated"),
    lazy("This extranet is being updated."),
    lazy("It will be back in a few minutes. Nothing you saved is lost."),
    passes=True,
)
_SUSPENDED = Page(
    503,
    lazy("Suspended"),
    lazy("This extranet is suspended."),
    lazy("Please ask your administrator. Nothing has been deleted."),
    passes=True,
)
_CLOSED = Page(410, lazy("Closed"), lazy("This extranet is closed."), lazy("Please ask your former administrator."))
_CSRF = Page(
    403,
    lazy("This page was open too long"),
    lazy("For your safety, the form was not accepted: it is too old, or was not opened in this browser."),
    lazy("Go back, reload the page and send it again. Copy a long text first."),
)
_NO_COOKIE = Page(
    403,
    lazy("Cookies are needed"),
    lazy("Your browser did not send back the cookie this page gave it, so the form was not accepted."),
    lazy("Allow cookies for this address, go back, reload the page and try again. They are never used to follow you."),
)
_SIGNED_OUT = Page(
    401,
    lazy("You have been signed out"),
    lazy("Your session ended before the form was sent, so nothing was changed."),
    lazy("Sign in again, then repeat the change."),
)
_FORBIDDEN = Page(
    403,
    lazy("Not allowed"),
    lazy("Your role does not include this page."),
    lazy("Ask an administrator of your company if you need it."),
)
_NOT_FOR_SUPPORT = Page(
    403,
    lazy("Closed to support"),
    lazy("Support may not open this page, and nothing was changed. The attempt is in the company’s log."),  # noqa: RUF001
    lazy("Ask an administrator of the company to do it."),
)
_TOO_LARGE = Page(
    413, lazy("Too large"), lazy("What you sent is larger than this page accepts."), lazy("Go back and send less.")
)
_METHOD = Page(405, lazy("Request not understood"), lazy("This address does not answer such a request."))
_BUSY = Page(
    503,
    lazy("Very busy"),
    lazy("Too many people are signing in at this moment."),
    lazy("Please try again in a few seconds."),
)
_TOO_MANY = Page(429, lazy("Too many attempts"), lazy("Please wait before you try again."))
_BROKEN = Page(
    500,
    lazy("Something went wrong"),
    lazy("The fault is ours, and it has been noted."),
    lazy("Try again in a moment. If it happens again, tell your administrator the reference below."),
)

# The first class that matches decides.
_TENANCY: tuple[tuple[type[Exception], Page], ...] = (
    (tenancy.BadHost, _BAD_REQUEST),
    (tenancy.UnknownHost, _UNKNOWN_HOST),
    (tenancy.TenantSuspended, _SUSPENDED),
    (tenancy.TenantClosed, _CLOSED),
    (tenancy.SchemaBehind, _BEHIND),
    (tenancy.TenantUnavailable, _UNAVAILABLE),
    (tenancy.KeyUnavailable, _UNAVAILABLE),
    (refused.NotFound, _NOT_FOUND),
    (tenancy.NoSuchFile, _NOT_FOUND),
    (refused.NotAllowed, _FORBIDDEN),
    (refused.NotForSupport, _NOT_FOR_SUPPORT),
    (refused.NoSlot, _BUSY),
    (refused.TooManyAttempts, _TOO_MANY),
    (CookieMissing, _NO_COOKIE),
    (CsrfRefused, _CSRF),
    (IntegrityError, _BROKEN),
    (DatabaseError, _UNAVAILABLE),
)
# Known causes, whose sentence says all: during an outage every request meets one, and a traceback each would bury
# whatever else goes wrong.
_OUTAGES = (tenancy.Unreachable, tenancy.SchemaBehind)
_HTTP = {400: _BAD_REQUEST, 401: _SIGNED_OUT, 403: _FORBIDDEN, 404: _NOT_FOUND, 405: _METHOD, 413: _TOO_LARGE}


def init_app(app: Flask) -> None:
    """Install the map."""
    app.register_error_handler(HTTPException, answer_http)
    app.register_error_handler(Exception, _answer)


def answer_http(error: HTTPException) -> Response:
    """Answer an error of Werkzeug's, or of a view's choice."""
    status = error.code or 500
    if status >= 500:
        # Raised after the view: while committing, or while answering another error.
        return _answer(getattr(error, "original_exception", None) or error)
    page = _HTTP.get(status) or replace(_BAD_REQUEST, status=status)
    _undo()
    if status == 403:
        note(Event.ACCESS_DENIED, details={"route": str(request.url_rule)})
    response = _render(page)
    if status == 405:
        response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return response


def _answer(error: Exception) -> Response:
    page = next((page for kind, page in _TENANCY if isinstance(error, kind)), _BROKEN)
    if page.status >= 500 and page is not _SUSPENDED:
        _tell(error, page)
    _undo()
    response = _render(page)
    retry_after = getattr(error, "retry_after", 30 if page.status == 503 else None)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _tell(error: Exception, page: Page) -> None:
    # The operator sees the cause; the visitor a reference to it.
    reference = current.state.request_id
    if isinstance(error, _OUTAGES):
        logger.warning("refused", id=reference, error=type(error).__name__, reason=str(error))
    else:
        logger.error("refused" if page is not _BROKEN else "failed", id=reference, exc_info=error)


def _undo() -> None:
    # What the view had begun is not to be committed with the error page, nor told to the browser. It also gives the
    # write lock back: the event of a refusal has a transaction of its own.
    if current.state.db is not None:
        current.state.db.rollback()
    cookies.forget_changes()


def _render(page: Page) -> Response:
    html = pages.render(
        "errors/page.html",
        status=page.status,
        title=str(page.title),
        message=str(page.message),
        advice=str(page.advice),
        again=local_path(asked_path()) if page.passes and request.method == "GET" else "",
        reference=current.state.request_id if page.status >= 500 else "",
    )
    return make_response(html, page.status)
