"""Step 4: the three cookies, and no others.

``__Host-session``  sealed, no Max-Age: an anonymous visitor's holds a CSRF secret, a signed-in one's also the login's
                    and either one's the token of a one-time link, once that was opened in this browser
``__Host-device``   sealed random id, at most 100 days; recognises a browser, never signs anyone in
``__Host-sign-on``  sealed, ten minutes: one try at signing in at the company's identity provider, until it is answered

All are sealed with the tenant's key, bound to their name and the tenant's epoch. One that does not open is
noted and ignored: the visitor is anonymous.
"""

from __future__ import annotations

import base64
import binascii
import struct
import time
from dataclasses import replace

from flask import Response, request

from extranet.request.current import current
from extranet.request.events import note
from extranet.request.state import NO_SECRET, Kind, SessionCookie
from extranet.security_log.events import Event
from tenants.errors import BadSeal

SESSION_COOKIE = "__Host-session"
DEVICE_COOKIE = "__Host-device"
SIGN_ON_COOKIE = "__Host-sign-on"

_LONGEST_COOKIE = 3800
_LONGEST_MAX_AGE = 100 * 24 * 3600
_SESSION_SECONDS = 12 * 3600
_ATTEMPT_SECONDS = 600

# kind, notice, expiry, CSRF secret, carried secret; and when a one-time link was opened, its token
_SESSION = struct.Struct(">BBI16s32s")
_SESSION_WITH_LINK = struct.Struct(">BBI16s32s32s")
_DEVICE = struct.Struct(">I16s")
# What browsers drop, and no more: "\xa0__Host-session" is another name, which any site of the parent domain may set.
_BLANKS = " \t"


class BadCookie(Exception):
    """Raised when a cookie is not one this tenant sealed, whatever is wrong with it."""


def read() -> None:
    """Open the two cookies that every request is about."""
    state = current.state
    if state.tenant is None:
        return
    header = request.environ.get("HTTP_COOKIE", "")
    opened = _read_session(header)
    state.has_cookie = opened is not None
    state.cookie = state.cookie_read = opened or SessionCookie()
    state.device = _read_device(header)


def change_session(**values: object) -> None:
    """Change what the session cookie will say; it is sent with this answer."""
    current.state.cookie = replace(current.cookie, **values)  # type: ignore[arg-type]
    current.state.cookie_changed = True


def start_session(kind: Kind, secret: bytes = NO_SECRET, notice: int = 0) -> None:
    """Begin a new session cookie with a new CSRF secret: at every change of privilege."""
    current.state.cookie = SessionCookie(kind, notice, secret=secret)
    current.state.cookie_changed = True


def carry_link(token: bytes) -> None:
    """Carry a one-time link's token in the session cookie: in the address it would linger in histories."""
    if not current.is_signed_in:
        start_session(Kind.ANONYMOUS)
    change_session(link=token)


def forget_changes() -> None:
    """Go back to what the browser sent: the answer is an error, and what the view was about to say is not true."""
    state = current.state
    state.cookie, state.cookie_changed, state.new_device, state.attempt = state.cookie_read, False, b"", None


def keep_session() -> None:
    """Make sure the browser holds this cookie for as long as somebody may need to fill in a form."""
    if current.cookie.expires < time.time() + _SESSION_SECONDS / 2:
        current.state.cookie_changed = True


def remember_device(device: bytes) -> None:
    """Send the device cookie with this answer, good for 100 days from now."""
    current.state.new_device = device


def carry_attempt(attempt: bytes) -> None:
    """Let the browser carry a try at signing in elsewhere, until it comes back; b"" takes it away."""
    current.state.attempt = attempt


def carried_attempt() -> bytes:
    """Return the try that this browser carries; b"" for none."""
    return _open(request.environ.get("HTTP_COOKIE", ""), SIGN_ON_COOKIE)


def write(response: Response) -> Response:
    """Send the cookies that changed."""
    state = current.state
    if state.cookie_changed and state.cookie is not None:
        _set(response, SESSION_COOKIE, _seal(SESSION_COOKIE, _packed(state.cookie)), max_age=None)
    if state.new_device:
        plain = _DEVICE.pack(int(time.time()) + _LONGEST_MAX_AGE, state.new_device)
        _set(response, DEVICE_COOKIE, _seal(DEVICE_COOKIE, plain), max_age=_LONGEST_MAX_AGE)
    if state.attempt is not None:
        sealed = _seal(SIGN_ON_COOKIE, state.attempt) if state.attempt else ""
        _set(response, SIGN_ON_COOKIE, sealed, max_age=_ATTEMPT_SECONDS if sealed else 0)
    return response


def _read_session(header: str) -> SessionCookie | None:
    opened = _open(header, SESSION_COOKIE)
    if len(opened) == _SESSION.size:
        opened += NO_SECRET
    # Another length is another release's format: its owner signs in again.
    if len(opened) != _SESSION_WITH_LINK.size:
        return None
    kind, notice, expires, csrf, secret, link = _SESSION_WITH_LINK.unpack(opened)
    return SessionCookie(Kind(kind), notice, csrf, secret, expires, link) if expires > time.time() else None


def _read_device(header: str) -> bytes:
    opened = _open(header, DEVICE_COOKIE)
    if len(opened) != _DEVICE.size:
        return b""
    expires, device = _DEVICE.unpack(opened)
    # The browser may keep a cookie longer than it was told to.
    return device if expires > time.time() else b""


def _open(header: str, name: str) -> bytes:
    pairs = (part.partition("=") for part in header.split(";"))
    values = [value.strip(_BLANKS) for key, _, value in pairs if key.strip(_BLANKS) == name]
    if not values:
        return b""
    if len(values) > 1:
        # Somebody else may have planted one of them, and the first one wins in most parsers.
        note(Event.COOKIE_DUPLICATE, details={"cookie": name})
        return b""
    try:
        return current.keys.open(f"cookie/{name}", _decoded(values[0]), context=_epoch())
    except (BadSeal, BadCookie):
        note(Event.COOKIE_TAMPERED, details={"cookie": name})
        return b""


def _decoded(value: str) -> bytes:
    if len(value) > _LONGEST_COOKIE:
        raise BadCookie
    try:
        sealed = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError) as error:
        raise BadCookie from error
    if _encoded(sealed) != value:
        # Two spellings of one cookie would let a copy pass for another.
        raise BadCookie
    return sealed


def _encoded(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _packed(cookie: SessionCookie) -> bytes:
    expires = int(time.time()) + _SESSION_SECONDS
    packed = _SESSION.pack(cookie.kind, cookie.notice, expires, cookie.csrf, cookie.secret)
    return packed if cookie.link == NO_SECRET else packed + cookie.link


def _seal(name: str, plain: bytes) -> str:
    return _encoded(current.keys.seal(f"cookie/{name}", plain, context=_epoch()))


def _epoch() -> bytes:
    return current.tenant.epoch.to_bytes(4)


def _set(response: Response, name: str, value: str, max_age: int | None) -> None:
    response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="Lax")
