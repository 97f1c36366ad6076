"""Step 6 for the operator's support: cookie -> visit in *this* tenant's database; and step 7: what it may open.

Asked anew with each request: whether the visit, the grant and the person behind both still stand.
"""

from __future__ import annotations

import re
from typing import Any

from flask import request

from extranet.errors import NotForSupport
from extranet.i18n import DEFAULT_LANGUAGE, best_language, use_language
from extranet.models import Role
from extranet.request.current import current
from extranet.request.events import write_beside
from extranet.request.state import State
from extranet.request.user import SignedIn, Visit
from extranet.security_log.origin import printable
from extranet.support.visits import FoundVisit, end_visit, find_visit, note_page
from tenants.errors import NoSuchStaff

_USER_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_LONGEST_PATH = 200


def find(state: State) -> None:
    """Set ``current.user`` to who came in, when the cookie's secret is that of a visit; end it when it is over."""
    found = find_visit(current.db, current.cookie.secret)
    why = "unknown" if found is None else found.why_over(_has_left)
    if found is None or why:
        if found is not None:
            ended = found
            write_beside(lambda db: end_visit(db, ended.id, ended.actor, why, current.origin))
        return
    state.user = _as_user(found)
    state.accent, state.logo = found.accent_hue, found.logo
    use_language(best_language(request.accept_languages.values(), DEFAULT_LANGUAGE))


def check(view: Any) -> None:
    """Put on record what a visit is about to open, or raise NotForSupport, which is on record too."""
    is_public = getattr(view, "is_public", False)
    if not _may_open(view, is_public):
        _note(refused=True)
        raise NotForSupport("Support may not open this.")
    # What strangers see is no page of the company's.
    if not is_public:
        _note(refused=False)


def _may_open(view: Any, is_public: bool) -> bool:
    if not getattr(view, "is_for_support", False) or getattr(view, "is_sensitive", False):
        return False
    return not current.state.writes or is_public or current.user.may_change


def _note(*, refused: bool) -> None:
    visit_id, actor, arguments = current.user.login_id, current.user.id, request.view_args or {}
    # Not what stands in the place of a token: whoever reads the log could use it.
    path = str(request.url_rule) if "token" in arguments else printable(request.path, _LONGEST_PATH)
    page = {"endpoint": str(request.endpoint), "method": request.method, "path": path}
    subject = str(arguments.get("user_id", ""))
    whom = subject if _USER_ID.fullmatch(subject) else ""
    write_beside(lambda db: note_page(db, visit_id, actor, page, subject=whom, refused=refused, origin=current.origin))


def _has_left(staff: str) -> bool:
    try:
        return current.platform.tenancy.staff.by_name(staff).left_at is not None
    except NoSuchStaff:
        return True


def _as_user(found: FoundVisit) -> SignedIn:
    first_name, _, last_name = found.staff_name.partition(" ")
    # In the order of SignedIn's fields: nobody's row of ``user``, and nothing that a person of the company has.
    return SignedIn(
        id=found.actor,
        username=found.actor,
        email="",
        first_name=first_name,
        last_name=last_name,
        role=Role.ADMIN,
        avatar="",
        language=DEFAULT_LANGUAGE,
        time_zone=found.time_zone,
        date_format="locale",
        clock="24h",
        theme="system",
        density="comfortable",
        rows_per_page=25,
        reduce_motion=False,
        must_change_password=False,
        login_id=found.id,
        browser_id="",
        last_seen_at=found.last_seen_at,
        expires_at=found.expires_at,
        proved_at=None,
        factors="",
        user_agent="",
        idle_minutes=0,
        has_factor=True,
        second_factor="",
        second_factor_from=None,
        accent_hue=found.accent_hue,
        logo=found.logo,
        support_until=None,
        visit=Visit(found.writes, found.expires_at),
    )
