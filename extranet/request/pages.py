"""What every template can use: the tenant, the person, words, dates, static files. And how a page is made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, current_app, render_template
from markupsafe import Markup
from sqlalchemy import select

from extranet.dates import Dates
from extranet.i18n import current_language, gettext, lazy, ngettext
from extranet.models import Company
from extranet.request.cookies import change_session
from extranet.request.csrf import field as csrf_field
from extranet.request.current import current

_DEFAULT_ACCENT = 210
_LOOK = select(Company.accent_hue, Company.language)

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
}
SAVED, PICTURE_CHANGED, PICTURE_REMOVED, PASSWORD_CHANGED, PASSWORD_SET = 1, 2, 3, 4, 5
LOGIN_ENDED, LOGINS_ENDED, BROWSER_RENAMED, BROWSER_FORGOTTEN, SIGNED_OUT, STRANGER_REPORTED = 6, 7, 8, 9, 10, 11


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
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def render(template: str, **values: Any) -> str:
    """Render a page for the person and tenant at hand."""
    return render_template(template, **_context(), **values)


def company_look() -> Look:
    """Return the tenant's accent and default language."""
    row = current.db.execute(_LOOK).one()
    current.state.accent = row.accent_hue
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


def _format_datetime(moment: datetime) -> str:
    return dates().datetime(moment)


def _format_date(moment: datetime) -> str:
    return dates().date(moment)


def _context() -> Mapping[str, Any]:
    state = current.state
    user = state.user
    return {
        "tenant": state.tenant,
        "me": user,
        "language": current_language(),
        "accent": state.accent if state.accent is not None else _DEFAULT_ACCENT,
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
