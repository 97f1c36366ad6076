"""The forms of a forgotten password."""

from __future__ import annotations

from wtforms import PasswordField
from wtforms.validators import DataRequired, EqualTo, InputRequired, Length

from extranet.accounts.passwords import LONGEST_BYTES, SHORTEST
from extranet.forms import BaseForm, Text, not_too_long
from extranet.i18n import lazy


class ForgottenForm(BaseForm):
    """By what the account is known."""

    username = Text(lazy("Username or e-mail address"), [DataRequired()], longest=254, autocomplete="username")


class ResetForm(BaseForm):
    """The new password, twice."""

    password = PasswordField(
        lazy("New password"),
        [InputRequired(), Length(min=SHORTEST), not_too_long(LONGEST_BYTES)],
        render_kw={"autocomplete": "new-password", "maxlength": LONGEST_BYTES},
    )
    repeat = PasswordField(
        lazy("Repeat the new password"),
        [InputRequired(), EqualTo("password", lazy("The two passwords are not the same."))],
        render_kw={"autocomplete": "new-password", "maxlength": LONGEST_BYTES},
    )
