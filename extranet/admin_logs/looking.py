"""What comes before anybody sees entries: their purpose was read, a reason is given, and the look is on record."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

from flask import make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet import paging
from extranet.admin.blueprint import for_admins
from extranet.admin_logs import operations
from extranet.admin_logs.blueprint import blueprint
from extranet.admin_logs.filters import Filter, filter_of
from extranet.admin_logs.finding import Wanted, find_person
from extranet.errors import Invalid, NotFound
from extranet.models import User
from extranet.request import pages
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.request.paths import local_path


def today() -> date:
    """Return the reader's date."""
    return datetime.now(ZoneInfo(current.user.time_zone)).date()


def asked_filter(kinds: Iterable[str]) -> Filter:
    """Return what the address at hand asks for."""
    return filter_of(request.args, kinds, current.user.time_zone, today(), lambda name: find_person(current.db, name))


def wanted_of(asked: Filter) -> Wanted:
    """Return a filter as the log understands it."""
    person = asked.person.id if asked.person else asked.support
    return Wanted(asked.begin, asked.end, person, asked.event, asked.result, asked.network)


def pager_of(count: int) -> paging.Pager:
    """Return which page is asked for: the nearest there is."""
    return paging.pager_of(request.args.get("page", "1"), count, current.user.rows_per_page)


def unread_notice(section: str) -> Response | None:
    """Return the page that says what the logs are for, to whoever has not read it yet."""
    # Support has read it before anybody let them in: it is what they were trained for.
    if current.user.visit is not None or operations.has_read_notice(current.db, current.user.id):
        return None
    return make_response(pages.render("admin_logs/notice.html", section=section, next=_here()))


def missing_reason(asked: Filter, section: str) -> Response | None:
    """Return the page that asks for a reason before one person's entries are looked at; one's own need none."""
    person = asked.person
    if person is None or person.id == current.user.id:
        return None
    # The reason why support is here was given when it asked, and an administrator found it good.
    if current.user.visit is not None:
        return None
    if operations.is_investigating(current.db, current.user.id, person.id):
        return None
    return _reason_page(person, _here(), section)


def note_look(asked: Filter, log: str) -> None:
    """Put a look at other people's entries on record, before it is taken."""
    if asked.person is not None and asked.person.id == current.user.id:
        return
    person, user = asked.person, current.user
    with current.aside() as db:
        operations.note_viewed(db, user.id, person, log, asked.query, current.origin)


def note_download(asked: Filter, log: str, count: int) -> None:
    """Put a download on record."""
    person, user = asked.person, current.user
    with current.aside() as db:
        operations.note_exported(db, user.id, person, log, count, asked.query, current.origin)


@blueprint.post("/logs/notice")
@for_admins
def read_notice() -> Response:
    """Note that the purpose was read, and go on."""
    operations.read_notice(current.db, current.user.id, current.origin)
    change_session(notice=pages.LOG_NOTICE_READ)
    return redirect(_next(), 303)


@blueprint.post("/logs/investigation")
@for_admins
def investigate() -> Response:
    """Note the reason for looking at one person's entries, and go on."""
    person = find_person(current.db, request.form.get("person", "")[:254])
    if person is None:
        raise NotFound("Nobody of this name.")
    reason = request.form.get("reason", "")
    section = "activity" if request.form.get("section") == "activity" else "security_log"
    try:
        operations.investigate(current.db, current.user.id, person, reason, current.origin)
    except Invalid as refused:
        return _reason_page(person, _next(), section, reason, refused.message)
    return redirect(_next(), 303)


def _reason_page(person: User, after: str, section: str, typed: str = "", error: str = "") -> Response:
    html = pages.render(
        "admin_logs/reason.html",
        section=section,
        person=person,
        next=after,
        typed=typed,
        error=error,
        longest=operations.LONGEST_REASON,
    )
    return make_response(html, 422 if error else 200)


def _here() -> str:
    return request.full_path.rstrip("?")


def _next() -> str:
    target = request.form.get("next", "")
    return local_path(target) if target else url_for("logs.security_log")
