"""Administration > Import: a file of people is uploaded, shown row by row, and only then imported."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from flask import make_response, redirect, request, url_for
from sqlalchemy import select
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from extranet.admin import sheets
from extranet.admin.blueprint import blueprint, for_admins
from extranet.admin.forms import ImportForm
from extranet.admin.imports.checking import Checked, Verdict, check_rows
from extranet.admin.imports.columns import FIELDS, ignored, map_columns
from extranet.admin.imports.operations import check_file, import_people
from extranet.admin.imports.pending import Pending, Shelf
from extranet.admin.imports.reading import LARGEST_BYTES, read_table, too_large
from extranet.admin.people import Page, page_of
from extranet.admin.words import ROLES
from extranet.errors import Invalid
from extranet.i18n import gettext as _
from extranet.models import User
from extranet.request import errors, login, pages
from extranet.request.access import form_on, sensitive
from extranet.request.body import accepts_upload
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.request.events import note
from extranet.security_log.events import Event
from extranet.security_log.origin import printable

# A file of the largest size, with room for the multipart frame around it.
_UPLOAD_LIMIT = LARGEST_BYTES + 64 * 1024


@dataclass(frozen=True, slots=True)
class Preview:
    """What an uploaded file would do, or has done."""

    rows: list[Checked]
    counts: Counter[Verdict]
    ignored: list[str]
    page: Page
    show: str


@blueprint.get("/import")
@for_admins
def show_import() -> Response:
    """Show where a file is uploaded, or what the uploaded one holds, or what became of it."""
    return _page(ImportForm())


@blueprint.post("/import")
@for_admins
@accepts_upload(_UPLOAD_LIMIT)
def upload_import() -> Response:
    """Keep a file and show what it holds. Nobody is created yet."""
    upload = request.files.get("people")
    content = upload.read(LARGEST_BYTES + 1) if upload else b""
    filename = printable(upload.filename or "", 100) if upload else ""
    try:
        check_file(current.db, content)
    except Invalid as refused:
        return _refuse(refused.message, filename)
    shelf = _shelf()
    shelf.sweep(current.db.scalars(select(User.id)))
    shelf.put(current.user.id, filename, content)
    return redirect(url_for("admin.show_import"), 303)


@blueprint.post("/import/confirm")
@for_admins
@sensitive
@form_on("admin.show_import")
def confirm_import() -> Response:
    """Create and invite the people of the file that was shown, or as many as there is time for."""
    pending = _shelf().find(current.user.id)
    if pending is None or pending.is_over or request.form.get("file") != pending.mark:
        return _page(ImportForm(), 409, _("This file was replaced or removed meanwhile. Nothing was imported."))
    created, is_over = import_people(current.db, pending.content, current.origin, current.user.id)
    _shelf().advance(pending, created, is_over=is_over)
    change_session(notice=pages.IMPORTED if is_over else pages.IMPORTED_SO_FAR)
    return redirect(url_for("admin.show_import"), 303)


@blueprint.post("/import/discard")
@for_admins
def discard_import() -> Response:
    """Forget the file."""
    _shelf().remove(current.user.id)
    return redirect(url_for("admin.show_import"), 303)


@blueprint.get("/import/left-out.csv")
@for_admins
def left_out_csv() -> Response:
    """Download the rows nobody was created from, as they were, with the reason, to mend them."""
    pending = _shelf().find(current.user.id)
    if pending is None:
        return redirect(url_for("admin.show_import"), 303)
    headings, rows = read_table(pending.content)
    checked = check_rows(current.db, rows, map_columns(headings))
    done = set(pending.created)
    left = [
        [*row.cells, *[""] * (len(headings) - len(row.cells)), said.why]
        for row, said in zip(rows, checked, strict=True)
        if row.line not in done and said.verdict is not Verdict.NEW
    ]
    return _sheet([[*headings, _("Why it was left out")], *left], _("people left out"))


@blueprint.get("/import/example.csv")
@for_admins
def example_csv() -> Response:
    """Download a file that can be filled in."""
    people = [
        ["Claire", "Dubois", "claire.dubois@example.com", "", _("Member"), _("Accounting"), ""],
        ["Jan", "de Vries", "jan.devries@example.com", "jan.devries", _("Manager"), _("Sales"), ""],
        ["Maria", "Rossi", "maria.rossi@example.org", "", _("Guest"), "", ""],
    ]
    return _sheet([[str(label) for label in FIELDS.values()], *people], _("people to invite"))


@blueprint.errorhandler(RequestEntityTooLarge)
def upload_too_large(error: RequestEntityTooLarge) -> Response:
    """Answer an oversized upload by its field, not by a page of its own."""
    from extranet.admin import look

    if login.recognise() and current.user.is_admin:
        if request.endpoint == "admin.upload_import":
            return _refuse(too_large(), "", 413)
        if request.endpoint == "admin.change_logo":
            return look.refuse_logo(look.too_large(), "", 413)
    return errors.answer_http(error)


def _sheet(rows: list[list[str]], name: str) -> Response:
    answer = make_response(sheets.write_sheet(rows))
    answer.mimetype = "text/csv"
    answer.headers["Content-Disposition"] = sheets.attachment(f"{name}.csv")
    return answer


def _refuse(message: str, filename: str, status: int = 422) -> Response:
    current.db.rollback()
    note(Event.UPLOAD_REFUSED, details={"file": filename})
    form = ImportForm()
    form.reject("people", message)
    return _page(form, status)


def _shelf() -> Shelf:
    return Shelf(current.files, current.keys)


def _page(form: ImportForm, status: int = 200, refusal: str = "") -> Response:
    pending = _shelf().find(current.user.id)
    html = pages.render(
        "admin/import.html",
        form=form,
        refusal=refusal,
        pending=pending,
        preview=_preview(pending) if pending else None,
        fields=FIELDS,
        roles=ROLES,
        verdicts=Verdict,
        link=_link,
    )
    return make_response(html, status)


def _preview(pending: Pending) -> Preview:
    headings, rows = read_table(pending.content)
    checked = check_rows(current.db, rows, map_columns(headings))
    done = set(pending.created)
    shown = [row for row in checked if row.line not in done]
    counts = Counter(row.verdict for row in shown)
    show = request.args.get("show", "")
    if show in set(Verdict):
        shown = [row for row in shown if row.verdict == show]
    page = page_of(request.args.get("page", "1"), len(shown), current.user.rows_per_page)
    return Preview(shown[page.first : page.last], counts, ignored(headings), page, show)


def _link(page: int = 1, show: str = "") -> str:
    values: dict[str, Any] = {"show": show, "page": page if page > 1 else ""}
    return url_for("admin.show_import", **{name: value for name, value in values.items() if value})
