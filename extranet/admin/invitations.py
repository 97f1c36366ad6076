"""Administration > Invitations: invite one person, and the invitations that wait to be accepted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import make_response, redirect, request, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from extranet.accounts.operations import NewUser
from extranet.admin import operations
from extranet.admin.blueprint import blueprint, for_admins
from extranet.admin.forms import InviteForm
from extranet.admin.people import page_of
from extranet.admin.proposing import propose_username
from extranet.admin.words import ROLES
from extranet.errors import Invalid
from extranet.models import Invitation, Role, User, UserState
from extranet.models.base import utc_now
from extranet.request import pages
from extranet.request.access import sensitive
from extranet.request.cookies import change_session
from extranet.request.current import current


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who has no password yet; without ``sent_at`` no invitation of theirs can be accepted any more."""

    user_id: str
    name: str
    email: str
    role: str
    sent_at: datetime | None
    until: datetime | None


@blueprint.get("/invitations")
@for_admins
@sensitive
def invitations() -> Response:
    """Show the form and who was invited."""
    return _page(InviteForm())


@blueprint.post("/invitations")
@for_admins
@sensitive
def invite() -> Response:
    """Create an account and mail an invitation."""
    form = InviteForm(request.form)
    if not form.validate():
        return _page(form, 422)
    first_name, last_name, email = form.first_name.data or "", form.last_name.data or "", form.email.data or ""
    username = form.username.data or propose_username(current.db, first_name, last_name, email)
    new = NewUser(username, email, first_name, last_name, Role(form.role.data))
    try:
        operations.invite_person(current.db, new, current.origin, current.user.id)
    except Invalid as refused:
        current.db.rollback()
        form.reject(refused.field, refused.message)
        return _page(form, 422)
    return _done(pages.INVITED)


@blueprint.post("/invitations/<user_id>/resend")
@for_admins
def resend_invitation(user_id: str) -> Response:
    """Mail a new invitation."""
    user = operations.find_person(current.db, user_id)
    try:
        operations.invite_again(current.db, user, current.origin, current.user.id)
    except Invalid as refused:
        current.db.rollback()
        return _page(InviteForm(), 422, refused.message)
    return _done(pages.INVITED)


@blueprint.post("/invitations/<user_id>/revoke")
@for_admins
def revoke_invitation(user_id: str) -> Response:
    """Make an invitation worthless."""
    operations.revoke_invitation(
        current.db, operations.find_person(current.db, user_id), current.origin, current.user.id
    )
    return _done(pages.INVITATION_REVOKED)


def _done(notice: int) -> Response:
    change_session(notice=notice)
    return redirect(url_for("admin.invitations"), 303)


def _page(form: InviteForm, status: int = 200, refusal: str = "") -> Response:
    count = current.db.execute(select(func.count()).where(User.state == UserState.INVITED)).scalar_one()
    page = page_of(request.args.get("page", "1"), count, current.user.rows_per_page)
    html = pages.render(
        "admin/invitations.html",
        form=form,
        refusal=refusal,
        waiting=_waiting(page.first, current.user.rows_per_page),
        page=page,
        link=lambda page: url_for("admin.invitations", page=page),
        roles=ROLES,
        now=utc_now(),
    )
    return make_response(html, status)


def _waiting(offset: int, limit: int) -> list[Waiting]:
    alive = (Invitation.user_id == User.id) & Invitation.ended_at.is_(None) & (Invitation.expires_at > utc_now())
    columns = (User.id, User.first_name, User.last_name, User.email, User.role)
    invited = (
        select(*columns, Invitation.created_at, Invitation.expires_at)
        .outerjoin(Invitation, alive)
        .where(User.state == UserState.INVITED)
        .order_by(User.created_at.desc(), User.id)
    )
    return [
        Waiting(user_id, f"{first} {last}", email, role, sent_at, until)
        for user_id, first, last, email, role, sent_at, until in current.db.execute(invited.offset(offset).limit(limit))
    ]
