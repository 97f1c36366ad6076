"""The forms of signing in and of accepting an invitation."""

from __future__ import annotations

from wtforms import PasswordField
from wtforms.validators import DataRequired, EqualTo, InputRequired, Length

from extranet.accounts.passwords import LONGEST_BYTES, SHORTEST
from extranet.forms import BaseForm, Text, not_too_long
from extranet.i18n import lazy


class LoginForm(BaseForm):
    """Name and password."""

    username = Text(lazy("Username or e-mail address"), [DataRequired()], longest=254, autocomplete="username webauthn")
    password = PasswordField(
        lazy("Password"),
        [InputRequired(), not_too_long(LONGEST_BYTES)],
        render_kw={"autocomplete": "current-password", "maxlength": LONGEST_BYTES},
    )


class InvitationForm(BaseForm):
    """The first password, twice."""

    password = PasswordField(
        lazy("Choose a password"),
        [InputRequired(), Length(min=SHORTEST)],
        render_kw={"autocomplete": "new-password", "maxlength": LONGEST_BYTES},
    )
    repeat = PasswordField(
        lazy("Repeat the password"),
        [InputRequired(), EqualTo("password", lazy("The two passwords are not the same."))],
        render_kw={"autocomplete": "new-password", "maxlength": LONGEST_BYTES},
    )
