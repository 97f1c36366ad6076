"""The form with which an administrator grants access."""

from __future__ import annotations

from typing import Self

from wtforms import BooleanField, IntegerField
from wtforms.validators import InputRequired, NumberRange

from extranet.forms import BaseForm
from extranet.i18n import lazy
from extranet.models import SupportGrant
from extranet.support.finding import LONGEST_HOURS


class GrantForm(BaseForm):
    """For how long, and what for: never more than was asked."""

    hours = IntegerField(
        lazy("For how many hours"),
        [InputRequired(), NumberRange(1, LONGEST_HOURS)],
        render_kw={"min": 1, "inputmode": "numeric"},
    )
    writes = BooleanField(lazy("May also change the company’s registration and look"))  # noqa: RUF001

    @classmethod
    def of(cls, asked: SupportGrant) -> Self:
        """Return the form as a request fills it in: as long as it asks for, and reading only."""
        # Several stand on one page.
        return cls(data={"hours": asked.hours}, prefix=asked.id)
