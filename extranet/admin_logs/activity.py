"""Administration > Activity: every change anybody made, with what it said before. Without addresses."""

from __future__ import annotations

from werkzeug.wrappers import Response

from extranet.activity.words import SENTENCES
from extranet.admin.blueprint import for_admins
from extranet.admin_logs import finding, shown
from extranet.admin_logs.blueprint import blueprint
from extranet.admin_logs.frame import LogPage
from extranet.i18n import gettext as _
from extranet.request.access import for_support, sensitive
from extranet.request.current import current

_PAGE = LogPage("activity", "activity", SENTENCES, finding.activity_log, shown.show_change, has_origin=False)


@blueprint.get("/activity")
@for_admins
@for_support
def activity() -> Response:
    """Show one page of what is asked for, newest first."""
    return _PAGE.answer()


@blueprint.get("/activity.csv")
@for_admins
@sensitive
def activity_csv() -> Response:
    """Download what is asked for, all pages of it."""
    head = [_("When"), _("By"), _("What was changed"), _("What or whom"), _("Field"), _("Before"), _("After")]
    return _PAGE.answer_file(head, _lines, _("activity of %(company)s", company=current.tenant.name))


def _lines(change: shown.ShownChange) -> list[list[str]]:
    first = [change.at.isoformat(), change.actor, change.sentence, change.subject]
    # A line a field: what changed together has the same moment.
    return [[*first, field.label, field.old, field.new] for field in change.changes] or [[*first, "", "", ""]]
