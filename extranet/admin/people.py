"""Administration > People: the list, searched, filtered, sorted, in pages, and as a file."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from flask import Response, request, url_for
from werkzeug.datastructures import MultiDict

from extranet.admin import finding, sheets
from extranet.admin.blueprint import blueprint, for_admins
from extranet.admin.finding import Found, Wanted
from extranet.admin.operations import note_export
from extranet.admin.sign_on_operations import the_provider
from extranet.admin.words import ROLES, STATES
from extranet.forms import clean
from extranet.i18n import gettext as _
from extranet.i18n import lazy
from extranet.request import pages
from extranet.request.access import for_support, form_on, sensitive
from extranet.request.current import current

COLUMNS = {
    "username": lazy("Username"),
    "email": lazy("E-mail"),
    "department": lazy("Department"),
    "role": lazy("Role"),
    "state": lazy("State"),
    "factor": lazy("Second factor"),
    "sign_on": lazy("Single sign-on"),
    "last": lazy("Last sign-in"),
    "created": lazy("Account since"),
}
_SHOWN_AT_FIRST = ("email", "role", "state", "factor", "last")
YES_OR_NO = ("yes", "no")


@dataclass(frozen=True, slots=True)
class Page:
    """Which page of how many."""

    page: int
    pages: int
    first: int
    last: int
    count: int


@blueprint.get("/people")
@for_admins
@for_support
def people() -> str:
    """Show one page of people."""
    wanted, columns = wanted_of(request.args), _columns_of(request.args)
    page = page_of(request.args.get("page", "1"), finding.count_people(current.db, wanted), current.user.rows_per_page)
    found = finding.find_people(current.db, wanted, offset=page.first, limit=current.user.rows_per_page)
    states = finding.count_states(current.db)
    return pages.render(
        "admin/people.html",
        people=found,
        wanted=wanted,
        columns=columns,
        page=page,
        states=states,
        total=sum(states.values()),
        all_columns=_offered(),
        roles=ROLES,
        state_names=STATES,
        link=_linker("admin.people", wanted, columns),
        export=_linker("admin.export_people", wanted, columns)(),
    )


@blueprint.get("/people.csv")
@for_admins
@sensitive
@form_on("admin.people")
def export_people() -> Response:
    """Download whom the list shows, all pages of it."""
    wanted = wanted_of(request.args)
    found = finding.find_people(current.db, wanted)
    columns = _offered()
    rows = [_header(columns), *(_line(person, columns) for person in found)]
    answer = Response(sheets.write_sheet(rows), mimetype="text/csv")
    with current.aside() as db:
        note_export(db, len(found), everybody=wanted.is_everybody, origin=current.origin, actor=current.user.id)
    name = _("people of %(company)s", company=current.tenant.name)
    answer.headers["Content-Disposition"] = sheets.attachment(f"{name} {datetime.now(UTC):%Y-%m-%d}.csv")
    return answer


def wanted_of(asked: MultiDict[str, str]) -> Wanted:
    """Return whom an address asks for; what is not in a list counts as not asked."""
    sort = asked.get("sort", "name")
    return Wanted(
        # U+0000 is what PostgreSQL keeps in no text, and nobody's name holds one.
        text=" ".join(clean(asked.get("q", "")).replace("\0", "").split())[: finding.LONGEST_SEARCH],
        role=_one_of(asked.get("role", ""), ROLES),
        state=_one_of(asked.get("state", ""), STATES),
        factor=_one_of(asked.get("factor", ""), YES_OR_NO),
        signed_in=_one_of(asked.get("signed_in", ""), YES_OR_NO),
        sign_on=_one_of(asked.get("sign_on", ""), YES_OR_NO),
        sort=sort if sort in finding.SORTS else "name",
        descending=asked.get("order") == "desc",
    )


def page_of(asked: str, count: int, rows: int) -> Page:
    """Return which of a list's pages is asked for: the nearest there is."""
    last = max(1, -(-count // rows))
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    page = min(max(number, 1), last)
    return Page(page, last, (page - 1) * rows, min(page * rows, count), count)


def _one_of(asked: str, known: Any) -> str:
    return asked if asked in known else ""


def _columns_of(asked: MultiDict[str, str]) -> list[str]:
    chosen = [name for name in _offered() if name in asked.getlist("column")]
    return chosen or list(_SHOWN_AT_FIRST)


def _offered() -> dict[str, Any]:
    """Return the columns there are: nobody is told of single sign-on where there is none."""
    has_provider = the_provider(current.db) is not None
    return {name: label for name, label in COLUMNS.items() if has_provider or name != "sign_on"}


def _linker(endpoint: str, wanted: Wanted, columns: list[str]) -> Callable[..., str]:
    """Return what makes the address of this very list with something else about it, as short as can be."""

    def link(page: int = 1, **other: Any) -> str:
        asked = replace(wanted, **other)
        values: dict[str, Any] = {
            "q": asked.text,
            "role": asked.role,
            "state": asked.state,
            "factor": asked.factor,
            "signed_in": asked.signed_in,
            "sign_on": asked.sign_on,
            "sort": asked.sort if asked.sort != "name" else "",
            "order": "desc" if asked.descending else "",
            "column": columns if tuple(columns) != _SHOWN_AT_FIRST else [],
            "page": page if page > 1 else "",
        }
        return url_for(endpoint, **{name: value for name, value in values.items() if value})

    return link


def _header(columns: Container[str]) -> list[str]:
    first = [_("First name"), _("Last name"), _("Username"), _("E-mail"), _("Department"), _("Role"), _("State")]
    sign_on = [_("Single sign-on")] if "sign_on" in columns else []
    return [*first, _("Second factor"), *sign_on, _("Last sign-in"), _("Account since")]


def _line(person: Found, columns: Container[str]) -> list[str]:
    return [
        person.first_name,
        person.last_name,
        person.username,
        person.email,
        person.department,
        str(ROLES.get(person.role, person.role)),
        str(STATES.get(person.state, person.state)),
        _("Yes") if person.has_second_factor else _("No"),
        *([_("Yes") if person.is_linked else _("No")] if "sign_on" in columns else []),
        person.last_sign_in.strftime("%Y-%m-%d %H:%M UTC") if person.last_sign_in else "",
        person.created_at.strftime("%Y-%m-%d"),
    ]
