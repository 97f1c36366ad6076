"""The authenticator app: six digits that change every thirty seconds (RFC 6238). Each works once, none before it."""

from __future__ import annotations

import base64
import re
import secrets
import time
from datetime import UTC, datetime, timedelta

import pyotp
import segno
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from extranet.errors import FactorRefused
from extranet.models import Totp
from extranet.models.base import utc_now
from extranet.models.second_factor import TOTP_SEAL
from tenants.errors import BadSeal
from tenants.keys import TenantKeys, same

_SECRET_BYTES = 20
_PERIOD = 30
# A phone's clock may be one step off, either way.
_WINDOW = (0, -1, 1)
_CODE = re.compile(r"[0-9]{6}", re.ASCII)
_BLANKS = re.compile(r"[\s-]+")
_QUIET_ZONE = 4
# As long as a page that asks for a code may stay open: what is on it is in no database until the code is right.
_SETUP_SECONDS = 15 * 60
_SETUP = "totp-setup"


def new_secret() -> bytes:
    """Return a fresh 160-bit secret."""
    return secrets.token_bytes(_SECRET_BYTES)


def key_text(secret: bytes) -> str:
    """Return a secret as people type it into an app."""
    return base64.b32encode(secret).decode()


def link_of(secret: bytes, username: str, site: str) -> str:
    """Return the otpauth link that sets an app up."""
    return pyotp.TOTP(key_text(secret)).provisioning_uri(name=username, issuer_name=site)


def drawing_of(link: str) -> str:
    """Return a link as a QR code: SVG with attributes alone, for the pages allow no style of their own."""
    code = segno.make(link, error="m", micro=False)
    return code.svg_inline(border=_QUIET_ZONE, dark="#000", light="#fff", omitsize=True, svgclass=None, lineclass=None)


def sealed_setup(keys: TenantKeys, login_id: str, secret: bytes) -> str:
    """Return a secret for a hidden field of the page that shows it: only this login can send it back, and soon."""
    until = int(time.time()) + _SETUP_SECONDS
    sealed = keys.seal(_SETUP, until.to_bytes(8) + secret, context=login_id.encode())
    return base64.urlsafe_b64encode(sealed).decode()


def opened_setup(keys: TenantKeys, login_id: str, text: str) -> bytes:
    """Return the secret from such a field; raise FactorRefused."""
    try:
        plain = keys.open(_SETUP, base64.urlsafe_b64decode(text), context=login_id.encode())
    except (BadSeal, ValueError) as error:
        raise FactorRefused("Not a page of this login.") from error
    if int.from_bytes(plain[:8]) < time.time():
        raise FactorRefused("This page was open too long.")
    return plain[8:]


def step_of(secret: bytes, code: str, now: float | None = None) -> int | None:
    """Return the time step a code belongs to, one before or after the present at most; None for a wrong code."""
    typed = _BLANKS.sub("", code)
    if not _CODE.fullmatch(typed):
        return None
    present = int(time.time() if now is None else now) // _PERIOD
    app = pyotp.TOTP(key_text(secret))
    found = [present + shift for shift in _WINDOW if same(app.generate_otp(present + shift).encode(), typed.encode())]
    return found[0] if found else None


def store(db: Session, user_id: str, secret: bytes, step: int) -> None:
    """Store the secret of an app that has shown the code of ``step``; it replaces the one before."""
    app = db.get(Totp, user_id)
    if app is None:
        app = Totp(user_id=user_id)
        db.add(app)
    app.secret = db.info["keys"].seal(TOTP_SEAL.purpose, secret, context=TOTP_SEAL.bound_to(user_id))
    app.last_step = step
    app.created_at = app.confirmed_at = utc_now()
    db.flush()


def use_code(db: Session, user_id: str, code: str) -> bool:
    """Tell whether a code is right and newer than every one before it; if so it is used up, for exactly one caller."""
    sealed = db.execute(select(Totp.secret).where(_confirmed(user_id))).scalar_one_or_none()
    if sealed is None:
        return False
    secret = db.info["keys"].open(TOTP_SEAL.purpose, sealed, context=TOTP_SEAL.bound_to(user_id))
    step = step_of(secret, code)
    if step is None:
        return False
    # One statement that compares and sets: of twenty requests with one code, one finds the row as it was.
    used = update(Totp).where(_confirmed(user_id), Totp.secret == sealed, Totp.last_step < step).values(last_step=step)
    return bool(db.execute(used.execution_options(synchronize_session=False)).rowcount == 1)  # type: ignore[attr-defined]


def last_used(app: Totp) -> datetime | None:
    """Return when a code of an app was last accepted, to half a minute; None when only the one that set it up was."""
    used = datetime.fromtimestamp(app.last_step * _PERIOD, UTC)
    # The code typed then may have been the next one of a clock that is fast.
    return used if used > app.created_at + timedelta(seconds=_PERIOD) else None


def _confirmed(user_id: str) -> ColumnElement[bool]:
    return (Totp.user_id == user_id) & Totp.confirmed_at.is_not(None)
