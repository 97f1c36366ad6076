"""The forms of the second step and of setting factors up."""

from __future__ import annotations

from typing import Any

from wtforms import HiddenField
from wtforms.validators import DataRequired

from extranet.factors.operations import LONGEST_NAME
from extranet.factors.passkeys import LONGEST_ANSWER
from extranet.forms import BaseForm, Text
from extranet.i18n import lazy

_LONGEST_CODE = 40


class CodeField(Text):
    """Six digits: phones show a keyboard of digits, and offer the code that an app or a mail has for the page."""

    def __init__(self, label: Any, **options: Any) -> None:
        super().__init__(label, [DataRequired()], longest=_LONGEST_CODE, autocomplete="one-time-code", **options)
        self.render_kw = {**(self.render_kw or {}), "inputmode": "numeric", "class": "code"}


class CodeForm(BaseForm):
    """The six digits an app shows."""

    code = CodeField(lazy("Code"))


class RecoveryForm(BaseForm):
    """One of the ten codes on paper."""

    recovery = Text(lazy("Recovery code"), [DataRequired()], longest=_LONGEST_CODE)


class AppForm(CodeForm):
    """The first code of a new app, and the secret that its page was shown with."""

    setup = HiddenField()


class PasskeyForm(BaseForm):
    """What a browser says of a new passkey, and the name its owner gives it."""

    name = Text(lazy("Name of this passkey"), [DataRequired()], longest=LONGEST_NAME)
    credential = HiddenField()

    def validate_credential(self, field: HiddenField) -> None:
        """Leave what is too long to the operation, which refuses it as it refuses all that is no passkey."""
        field.data = (field.data or "")[: LONGEST_ANSWER + 1]
