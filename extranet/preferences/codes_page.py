"""Recovery codes as they are shown, once, and as a text file of what is on that page."""

from __future__ import annotations

import base64

from flask import make_response, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from extranet.i18n import gettext as _
from extranet.preferences.blueprint import blueprint
from extranet.request import pages
from extranet.request.current import current
from extranet.request.obligations import while_factor_missing
from tenants.errors import BadSeal

_PURPOSE = "recovery-codes-page"


def codes_page(codes: list[str], *, is_first: bool = False) -> Response:
    """Show codes that were just made. ``is_first`` when they came with the first factor."""
    sealed = current.keys.seal(_PURPOSE, "\n".join(codes).encode(), context=current.user.login_id.encode())
    text = base64.urlsafe_b64encode(sealed).decode()
    return make_response(pages.render("preferences/recovery_codes.html", codes=codes, sealed=text, is_first=is_first))


@blueprint.post("/security/recovery-codes/download")
@while_factor_missing
def download_codes() -> Response:
    """Return the codes of the page at hand as a file; they are nowhere else, so the page sends them along, sealed."""
    try:
        sealed = base64.urlsafe_b64decode(request.form.get("codes", ""))
        codes = current.keys.open(_PURPOSE, sealed, context=current.user.login_id.encode()).decode()
    except (BadSeal, ValueError) as error:
        raise NotFound from error
    title = _("Recovery codes of %(username)s at %(site)s", username=current.user.username, site=current.tenant.name)
    advice = _("Each works once. Keep them where only you can find them.")
    response = make_response(f"{title}\n{advice}\n\n{codes}\n")
    response.headers["Content-Type"] = "text/plain; charset=utf-8"
    response.headers["Content-Disposition"] = 'attachment; filename="recovery-codes.txt"'
    return response
