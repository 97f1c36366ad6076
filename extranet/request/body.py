"""Step 3: how much may be sent. A body that is too large is read and thrown away, so that the answer arrives."""

from __future__ import annotations

from collections.abc import Callable

from flask import current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

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
    """Refuse a body over its view's limit, before it is parsed."""
    view = current_app.view_functions.get(request.endpoint or "")
    limit: int = getattr(view, "upload_limit", _FORM_BYTES)
    request.max_content_length = limit
    if request.content_length is not None and request.content_length > limit:
        _drain()
        raise RequestEntityTooLarge


def _drain() -> None:
    # A server that answers and hangs up while the browser is still sending shows it a broken connection, not the page.
    left = min(request.content_length or 0, _DRAIN_BYTES)
    stream = request.environ["wsgi.input"]
    while left > 0:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            return
        left -= len(chunk)
