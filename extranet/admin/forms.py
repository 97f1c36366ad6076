"""The forms of Administration."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from wtforms import BooleanField, DateField, FileField, IntegerField, SelectField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional

from extranet.admin.words import ROLES
from extranet.forms import BaseForm, EditForm, Text, clean, readable
from extranet.i18n import gettext as _
from extranet.i18n import lazy
from extranet.models import Role, SecondFactorPolicy
from extranet.preferences import choices
from extranet.retention.logs import LONGEST_DAYS, SHORTEST_DAYS

SHORTEST_PASSWORD, LONGEST_PASSWORD_RULE = 12, 64
SHORTEST_IDLE, LONGEST_IDLE = 5, 60
LONGEST_WELCOME = 500
_LONGEST_GRACE = timedelta(days=366)

FACTOR_POLICIES = {
    SecondFactorPolicy.OPTIONAL.value: lazy("Everybody decides for themselves"),
    SecondFactorPolicy.ADMINS.value: lazy("Required of administrators"),
    SecondFactorPolicy.EVERYBODY.value: lazy("Required of everybody"),
}


class RoleSelect(SelectField):
    """What somebody may do."""

    def __init__(self, label: Any, **options: Any) -> None:
        super().__init__(label, choices=lambda: choices.pairs(ROLES), **options)


class RoleForm(BaseForm):
    """Another role."""

    role = RoleSelect(lazy("Role"))


class UsernameForm(BaseForm):
    """Another username."""

    username = Text(lazy("Username"), [DataRequired()], longest=64)


class AddressForm(BaseForm):
    """Another address for an invitation."""

    email = Text(lazy("E-mail"), [DataRequired()], longest=254)


class InviteForm(BaseForm):
    """Whom to invite."""

    first_name = Text(lazy("First name"), [DataRequired()], longest=100)
    last_name = Text(lazy("Last name"), [DataRequired()], longest=100)
    email = Text(lazy("E-mail"), [DataRequired()], longest=254)
    username = Text(lazy("Username"), longest=64)
    role = RoleSelect(lazy("Role"), default=Role.MEMBER.value)


class ImportForm(BaseForm):
    """A list of people."""

    people = FileField(lazy("CSV file"), render_kw={"accept": ".csv,.txt,.tsv,text/csv,text/plain"})


class PolicyForm(EditForm):
    """What is asked of everybody who signs in."""

    second_factor = SelectField(lazy("Second factor"), choices=lambda: choices.pairs(FACTOR_POLICIES))
    second_factor_from = DateField(lazy("From this day on"), [Optional()])
    shortest_password = IntegerField(
        lazy("Shortest password"),
        [InputRequired(), NumberRange(SHORTEST_PASSWORD, LONGEST_PASSWORD_RULE)],
        render_kw={"min": SHORTEST_PASSWORD, "max": LONGEST_PASSWORD_RULE, "inputmode": "numeric"},
    )
    idle_minutes = IntegerField(
        lazy("Minutes without activity"),
        [InputRequired(), NumberRange(SHORTEST_IDLE, LONGEST_IDLE)],
        render_kw={"min": SHORTEST_IDLE, "max": LONGEST_IDLE, "inputmode": "numeric"},
    )
    log_days = IntegerField(
        lazy("Days for which the logs are kept"),
        [InputRequired(), NumberRange(SHORTEST_DAYS, LONGEST_DAYS)],
        render_kw={"min": SHORTEST_DAYS, "max": LONGEST_DAYS, "inputmode": "numeric"},
    )
    forces_browser_mail = BooleanField(lazy("Always mail people when a new browser signs in to their account"))

    def check_day(self, today: date, stored: date | None) -> bool:
        """Put a fault beside the day unless it fits the rule; a day that was stored before may lie in the past."""
        day = self.second_factor_from.data
        if self.second_factor.data == SecondFactorPolicy.OPTIONAL:
            self.second_factor_from.data = None
        elif day is None:
            self.reject("second_factor_from", _("Choose the day from which it is required."))
        elif day != stored and not today <= day <= today + _LONGEST_GRACE:
            self.reject("second_factor_from", _("Choose a day between today and one year from now."))
        return not self.errors


class LookForm(EditForm):
    """The colour and the welcome."""

    accent_hue = SelectField(lazy("Accent colour"), choices=choices.hues, coerce=int)
    welcome = TextAreaField(
        lazy("Welcome text"),
        [Length(max=LONGEST_WELCOME), readable],
        filters=[clean],
        render_kw={"maxlength": LONGEST_WELCOME, "rows": 4},
    )


class LogoForm(BaseForm):
    """A logo."""

    logo = FileField(lazy("Logo"), render_kw={"accept": "image/png,image/jpeg,image/webp"})
