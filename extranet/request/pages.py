"""What every template can use: the tenant, the person, words, dates, static files. And how a page is made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, current_app, render_template
from markupsafe import Markup
from sqlalchemy import select

from extranet.accounts.new_passwords import shortest_password
from extranet.dates import Dates
from extranet.i18n import current_language, gettext, lazy, ngettext
from extranet.models import Company
from extranet.request.cookies import change_session
from extranet.request.csrf import field as csrf_field
from extranet.request.current import current

_DEFAULT_ACCENT = 210
_LOOK = select(Company.accent_hue, Company.language, Company.logo, Company.welcome)

# The sealed session cookie carries one of these numbers from a form to the page after it.
NOTICES = {
    1: lazy("Your changes have been saved."),
    2: lazy("Your picture has been changed."),
    3: lazy("Your picture has been removed."),
    4: lazy("Your password has been changed. Your other sessions have been signed out."),
    5: lazy("Your password is set. You can sign in now."),
    6: lazy("That session has been signed out."),
    7: lazy("All other sessions have been signed out."),
    8: lazy("The browser has been renamed."),
    9: lazy("The browser has been forgotten."),
    10: lazy("You are signed out."),
    11: lazy("Every other session has been signed out. Now choose a new password."),
    12: lazy(
        "Your password has been changed. Now look through your passkeys, your authenticator app and your recovery "
        "codes: remove what you did not add yourself."
    ),
    13: lazy(
        "Every other session has been signed out. Now look through your passkeys, your authenticator app and your "
        "recovery codes: remove what you did not add yourself."
    ),
    20: lazy("That took too long. Please sign in once more."),
    21: lazy("Your authenticator app is set up. Your other sessions have been signed out."),
    22: lazy("The passkey has been added. Your other sessions have been signed out."),
    23: lazy("The passkey has been renamed."),
    24: lazy("The passkey has been removed. Your other sessions have been signed out."),
    25: lazy("The authenticator app has been removed. Your other sessions have been signed out."),
    26: lazy("You used a recovery code. It will not work again."),
    27: lazy("You used a recovery code, and few are left. Make new ones under Preferences, Security."),
    50: lazy("The role has been changed."),
    51: lazy("The username has been changed."),
    52: lazy("The account is deactivated. Whoever used it has been signed out."),
    53: lazy("The account is open again."),
    54: lazy("Failed attempts are forgotten."),
    55: lazy("All their sessions have been signed out."),
    56: lazy("A link to choose a new password has been mailed."),
    57: lazy("The second factors have been reset."),
    58: lazy("Another administrator has to approve this now, on this page, within a day."),
    59: lazy("The request has been dropped."),
    60: lazy("The invitation is on its way."),
    61: lazy("The invitation has been revoked."),
    62: lazy("The import is finished."),
    63: lazy("Part of the people have been imported. Continue with the rest."),
    64: lazy("The logo has been changed."),
    65: lazy("The logo has been removed."),
    30: lazy("Your password has been changed. Please sign in with the new one."),
    31: lazy(
        "Everybody is signed out, and the old password no longer works. A link to choose a new one is in your mail."
    ),
    32: lazy(
        "Everybody is signed out, and the old password no longer works. No link is mailed, as reading your mail must "
        "not be enough to get in. Speak to an administrator of your company: they will let you in again."
    ),
    33: lazy("Your e-mail address has been changed."),
    34: lazy("We have sent a link to your new address. Nothing changes until you open it."),
    35: lazy("Your e-mail address stays as it is."),
    36: lazy(
        "Everybody is signed out, and the old password no longer works. No link is mailed, as reading your mail must "
        "not be enough to get in. Speak to the operator of this service: they will let you in again."
    ),
    40: lazy("It is you. For ten minutes you will not be asked again."),
    70: lazy("Noted. The logs are open to you now."),
    110: lazy("The visit is over. For another one, ask for another link."),
    111: lazy("You have left."),
    112: lazy("Access has been granted."),
    113: lazy("The request has been declined."),
    114: lazy("Support no longer has access."),
    90: lazy("Your account is linked. Your other sessions have been signed out."),
    100: lazy("Single sign-on is on."),
    101: lazy("Single sign-on is off. Links and sessions stay as they are."),
    102: lazy("Saved. Single sign-on is off until somebody turns it on with the new issuer."),
    103: lazy("Single sign-on has been removed, and all links with it."),
    104: lazy("The account is no longer linked. All sessions of it have been signed out."),
    105: lazy("Your account is no longer linked. Your other sessions have been signed out."),
}
LOG_NOTICE_READ = 70
VISIT_OVER, VISIT_LEFT, SUPPORT_GRANTED, SUPPORT_DECLINED, SUPPORT_REVOKED = 110, 111, 112, 113, 114
SIGN_ON_ON, SIGN_ON_OFF, SIGN_ON_NOW_OFF, SIGN_ON_REMOVED, PERSON_UNLINKED, UNLINKED = 100, 101, 102, 103, 104, 105
SAVED, PICTURE_CHANGED, PICTURE_REMOVED, PASSWORD_CHANGED, PASSWORD_SET = 1, 2, 3, 4, 5
PASSWORD_RESET, SHUT_OUT, SHUT_OUT_FOR_GOOD, EMAIL_CONFIRMED, EMAIL_ASKED, EMAIL_KEPT = 30, 31, 32, 33, 34, 35
SHUT_OUT_ALONE = 36
PASSWORD_CHANGED_AFTER_REPORT, STRANGER_REPORTED_NO_PASSWORD = 12, 13
CONFIRMED = 40
LINKED = 90
SIGN_IN_TOO_LATE, APP_ADDED, PASSKEY_ADDED, PASSKEY_RENAMED, PASSKEY_REMOVED, APP_REMOVED = 20, 21, 22, 23, 24, 25
RECOVERY_CODE_USED, RECOVERY_CODES_FEW = 26, 27
LOGIN_ENDED, LOGINS_ENDED, BROWSER_RENAMED, BROWSER_FORGOTTEN, SIGNED_OUT, STRANGER_REPORTED = 6, 7, 8, 9, 10, 11

ROLE_CHANGED, USERNAME_CHANGED, DEACTIVATED, REACTIVATED, UNLOCKED, SIGNED_OUT_EVERYWHERE = 50, 51, 52, 53, 54, 55
RESET_MAILED, FACTORS_RESET, FACTOR_RESET_ASKED, FACTOR_RESET_WITHDRAWN = 56, 57, 58, 59
INVITED, INVITATION_REVOKED, IMPORTED, IMPORTED_SO_FAR, LOGO_CHANGED, LOGO_REMOVED = 60, 61, 62, 63, 64, 65


@dataclass(frozen=True, slots=True)
class Look:
    """A tenant's own look and default language."""

    accent: int
    language: str


def init_app(app: Flask) -> None:
    """Install the globals of all templates."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    # Globals, not values of one page: macros that need no page's values are compiled and set up once, not per request.
    app.jinja_env.globals.update(
        _=_translate,
        csrf_field=csrf_field,
        static=static,
        format_datetime=_format_datetime,
        format_date=_format_date,
        shortest_password=_shortest_password,
        format_day=_format_day,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def render(template: str, **values: Any) -> str:
    """Render a page for the person and tenant at hand."""
    return render_template(template, **_context(), **values)


def company_look() -> Look:
    """Return the tenant's accent and default language."""
    with current.reading() as db:
        row = db.execute(_LOOK).one()
    state = current.state
    state.accent, state.logo, state.welcome = row.accent_hue, row.logo, row.welcome
    return Look(row.accent_hue, row.language)


def dates() -> Dates:
    """Return how the signed-in person wants dates written; no page for visitors shows one."""
    user = current.user
    return Dates(current_language(), user.time_zone, user.date_format, user.clock)


@lru_cache(maxsize=256)
def static(name: str) -> str:
    """Return the address of a static file; it changes with the content, so browsers may keep it for ever."""
    content = Path(current_app.static_folder or "", name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def _translate(message: str, **values: Any) -> Markup:
    # What jinja2.ext.i18n's own "_" does, at a third of its cost: a page says about forty things.
    translated = _markup(current_language(), message)
    return translated % values if values else translated


@lru_cache(maxsize=10_000)
def _markup(_language: str, message: str) -> Markup:
    # What is translated stands in a template, not in what somebody typed.
    return Markup(gettext(message))  # noqa: S704


def _shortest_password() -> int:
    return shortest_password(current.db)


def _format_datetime(moment: datetime) -> str:
    return dates().datetime(moment)


def _format_date(moment: datetime) -> str:
    return dates().date(moment)


def _format_day(day: date) -> str:
    return dates().day(day)


def _context() -> Mapping[str, Any]:
    state = current.state
    user = state.user
    return {
        "tenant": state.tenant,
        "me": user,
        "language": current_language(),
        "accent": state.accent if state.accent is not None else _DEFAULT_ACCENT,
        "logo_url": f"/logo?v={state.logo[:8]}" if state.logo else None,
        "welcome": state.welcome,
        "theme": user.theme if user else "system",
        "density": user.density if user else "comfortable",
        "motion": "reduce" if user and user.reduce_motion else "normal",
        "notice": _take_notice(),
    }


def _take_notice() -> str | None:
    cookie = current.state.cookie
    if cookie is None or cookie.notice not in NOTICES:
        return None
    change_session(notice=0)
    return str(NOTICES[cookie.notice])
