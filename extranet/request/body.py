"""Step 3: how much may be sent. A body that is too large is read and thrown away, so that the answer arrives."""

from __future__ import annotations

from collections.abc import Callable

from flask import current_app, request
from werkzeug.exceptions import BadRequest, LengthRequired, RequestEntityTooLarge

from extranet.request.access import View

_FORM_BYTES = 256 * 1024
_DRAIN_BYTES = 64 * 1024 * 1024
_CHUNK = 64 * 1024


def accepts_upload(limit: int) -> Callable[[View], View]:
    """Mark a view whose body may have ``limit`` bytes instead of a form's 256 KiB."""

    def mark(view: View) -> View:
        view.upload_limit = limit  # type: ignore[attr-defined]
        return view

    return mark


def check() -> None:
    """Refuse a body over its view's limit, or of no stated length, before it is parsed."""
    if "Transfer-Encoding" in request.headers:
        # No browser sends a form in chunks, and one cut off at the limit would be parsed as if it were whole.
        _drain(_DRAIN_BYTES)
        raise LengthRequired
    view = current_app.view_functions.get(request.endpoint or "")
    length = request.content_length or 0
    if length > getattr(view, "upload_limit", _FORM_BYTES):
        _drain(min(length, _DRAIN_BYTES))
        raise RequestEntityTooLarge


def _drain(left: int) -> None:
    # A server that answers and hangs up while the browser is still sending shows it a broken connection, not the page.
    stream = request.environ["wsgi.input"]
    try:
        while left > 0 and (chunk := stream.read(min(left, _CHUNK))):
            left -= len(chunk)
    except OSError as error:
        # gunicorn raises its own kinds of it for chunks that are none, and for a client that has gone.
        raise BadRequest from error
