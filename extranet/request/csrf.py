"""Step 5: an unsafe request must come from a page of this very host: by fetch metadata *and* by token.

Sibling tenants are same-site, so SameSite cookies do not stop one from posting to another; ``same-site`` is refused.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from urllib.parse import urlsplit

from flask import request
from markupsafe import Markup

from extranet.request.access import is_platform
from extranet.request.cookies import keep_session
from extranet.request.current import current
from extranet.request.events import note
from extranet.security_log.events import Event
from tenants.hosts import parse_host
from tenants.keys import same

FIELD = "csrf_token"
_SECRET_LENGTH = 16


class CsrfRefused(Exception):
    """Raised when a form was not sent from a page of this extranet, or from one that is too old."""


class CookieMissing(CsrfRefused):
    """Raised when a form arrives without the cookie its page was sent with: the browser refuses cookies."""


def check() -> None:
    """Refuse an unsafe request without proof of where it comes from."""
    if not current.state.writes or is_platform(request) or request.routing_exception is not None:
        return
    if not _is_same_origin():
        _refuse("foreign")
    if not current.state.has_cookie:
        raise CookieMissing
    if not _token_matches(request.form.get(FIELD, "")):
        _refuse("token")


def token() -> str:
    """Return a token for a form on this page. Masked anew each time, so that compression cannot reveal it."""
    mask = secrets.token_bytes(_SECRET_LENGTH)
    # An anonymous visitor's cookie is sent when a form first needs one, and not before.
    keep_session()
    return base64.urlsafe_b64encode(mask + _xor(mask, current.cookie.csrf)).rstrip(b"=").decode()


def field() -> Markup:
    """Return the hidden input that carries the token."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, token())


def _is_same_origin() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        return False
    own = current.platform.settings.origin(parse_host(request.environ["HTTP_HOST"]))
    origin = request.headers.get("Origin")
    if origin == "null" and site is not None:
        # What browsers say of a page with "no-referrer", such as an invitation; their fetch metadata has said it all.
        return True
    if origin is not None:
        return origin == own
    # Neither header: a browser from before 2020 sends at least where it comes from.
    return site is not None or _origin_of(request.headers.get("Referer", "")) == own


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def _token_matches(value: str) -> bool:
    try:
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return False
    if len(raw) != 2 * _SECRET_LENGTH:
        return False
    return same(_xor(raw[:_SECRET_LENGTH], raw[_SECRET_LENGTH:]), current.cookie.csrf)


def _refuse(reason: str) -> None:
    note(Event.CSRF_REFUSED, details={"reason": reason, "route": str(request.url_rule)})
    raise CsrfRefused(reason)


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(_SECRET_LENGTH)
