"""The form that asks once more for the password."""

from __future__ import annotations

from wtforms import PasswordField
from wtforms.validators import InputRequired

from extranet.accounts.passwords import LONGEST_BYTES
from extranet.forms import BaseForm, not_too_long
from extranet.i18n import lazy


class ConfirmForm(BaseForm):
    """The current password."""

    password = PasswordField(
        lazy("Password"),
        [InputRequired(), not_too_long(LONGEST_BYTES)],
        render_kw={"autocomplete": "current-password", "maxlength": LONGEST_BYTES},
    )
