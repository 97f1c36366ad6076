"""The forms of Preferences, one a card."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from wtforms import BooleanField, FileField, PasswordField, SelectField, TextAreaField, ValidationError
from wtforms.validators import DataRequired, EqualTo, InputRequired, Length, Optional
from wtforms.widgets import EmailInput, TelInput

from extranet.accounts.passwords import LONGEST_BYTES, SHORTEST
from extranet.forms import BaseForm, EditForm, Text, clean, not_too_long, readable
from extranet.i18n import gettext as _
from extranet.i18n import lazy
from extranet.preferences import choices
from extranet.preferences.numbers import is_phone, is_siren, is_vat_id

_MOST_INTERESTS = 10
_LONGEST_INTEREST = 40


def _phone(_form: Any, field: Any) -> None:
    if not is_phone(field.data):
        raise ValidationError(_("Write a phone number with digits and spaces, for example +33 1 23 45 67 89."))


def _tags(text: str | None) -> str:
    """Return comma-separated words in one spelling, each once."""
    tags = [" ".join(tag.split()) for tag in clean(text).split(",")]
    return ", ".join(dict.fromkeys(tag for tag in tags if tag))


class Phone(Text):
    """A phone number, loosely checked."""

    widget = TelInput()

    def __init__(self, label: Any, **named: Any) -> None:
        super().__init__(label, [Optional(), _phone], **named)


class Email(Text):
    """An e-mail address, checked where it is used."""

    widget = EmailInput()


class Select(SelectField):
    """A choice whose list is made when the form is shown, in the reader's language."""

    def __init__(self, label: Any, options: Any, **named: Any) -> None:
        super().__init__(label, choices=options, **named)


class ProfileForm(EditForm):
    """Name and card."""

    first_name = Text(lazy("First name"), [DataRequired()], longest=100, autocomplete="given-name")
    last_name = Text(lazy("Last name"), [DataRequired()], longest=100, autocomplete="family-name")
    position = Text(lazy("Job title"), longest=100, autocomplete="organization-title")
    department = Text(lazy("Department"), longest=100)
    sector = Select(lazy("Sector of activity"), lambda: choices.pairs_or_none(choices.SECTORS))
    phone = Phone(lazy("Phone"), longest=40, autocomplete="tel")
    mobile = Phone(lazy("Mobile"), longest=40, autocomplete="tel")
    street = Text(lazy("Street"), longest=200, autocomplete="street-address")
    postcode = Text(lazy("Postcode"), longest=20, autocomplete="postal-code")
    city = Text(lazy("City"), longest=100, autocomplete="address-level2")
    country = Select(lazy("Country"), choices.country_pairs)
    interests = Text(lazy("Interests"), longest=500)
    about = TextAreaField(
        lazy("About me"), [Length(max=500), readable], filters=[clean], render_kw={"maxlength": 500, "rows": 4}
    )
    contact_channel = Select(lazy("How I prefer to be contacted"), lambda: choices.pairs(choices.CHANNELS))
    phone_visibility = Select(lazy("Who sees my phone"), lambda: choices.pairs(choices.VISIBILITIES))
    mobile_visibility = Select(lazy("Who sees my mobile"), lambda: choices.pairs(choices.VISIBILITIES))
    address_visibility = Select(lazy("Who sees my address"), lambda: choices.pairs(choices.VISIBILITIES))
    interests_visibility = Select(lazy("Who sees my interests"), lambda: choices.pairs(choices.VISIBILITIES))

    def validate_interests(self, field: Text) -> None:
        """Refuse more than ten, or a sentence where a word was meant."""
        field.data = _tags(field.data)
        tags = field.data.split(", ") if field.data else []
        if len(tags) > _MOST_INTERESTS:
            raise ValidationError(_("At most %(count)s interests, separated by commas.", count=_MOST_INTERESTS))
        if any(len(tag) > _LONGEST_INTEREST for tag in tags):
            raise ValidationError(_("An interest has at most %(count)s characters.", count=_LONGEST_INTEREST))


class AvatarForm(BaseForm):
    """A picture."""

    avatar = FileField(lazy("Picture"), render_kw={"accept": "image/png,image/jpeg,image/webp"})


class DisplayForm(EditForm):
    """Language, time and look."""

    language = Select(lazy("Language"), choices.languages)
    time_zone = Select(lazy("Time zone"), lambda: [(zone, zone.replace("_", " ")) for zone in choices.time_zones()])
    date_format = Select(lazy("Dates"), lambda: choices.pairs(choices.DATE_FORMATS))
    clock = Select(lazy("Clock"), lambda: choices.pairs(choices.CLOCKS))
    theme = Select(lazy("Theme"), lambda: choices.pairs(choices.THEMES))
    density = Select(lazy("Density"), lambda: choices.pairs(choices.DENSITIES))
    rows_per_page = Select(lazy("Rows per page"), lambda: [(rows, str(rows)) for rows in choices.ROWS], coerce=int)
    reduce_motion = BooleanField(lazy("Reduce motion"))


class PasswordForm(BaseForm):
    """The current password, and the new one twice."""

    current = PasswordField(
        lazy("Current password"),
        [InputRequired(), not_too_long(LONGEST_BYTES)],
        render_kw={"autocomplete": "current-password", "maxlength": LONGEST_BYTES},
    )
    new = PasswordField(
        lazy("New password"),
        [InputRequired(), Length(min=SHORTEST)],
        render_kw={"autocomplete": "new-password", "maxlength": LONGEST_BYTES},
    )
    repeat = PasswordField(
        lazy("Repeat the new password"),
        [InputRequired(), EqualTo("new", lazy("The two passwords are not the same."))],
        render_kw={"autocomplete": "new-password", "maxlength": LONGEST_BYTES},
    )


class EmailForm(BaseForm):
    """Another address."""

    email = Email(lazy("New e-mail address"), [DataRequired()], longest=254, autocomplete="email")


class BrowserMailForm(BaseForm):
    """Whether a sign-in from a browser never seen is mailed."""

    wants_browser_mail = BooleanField(lazy("Mail me about sign-ins from new browsers"))


class CompanyForm(EditForm):
    """The company's registration and accent."""

    legal_name = Text(lazy("Legal name"), [DataRequired()], longest=200, autocomplete="organization")
    trading_name = Text(lazy("Trading name"), longest=200)
    legal_form = Text(lazy("Legal form"), longest=100)
    registration_number = Text(lazy("Registration number"), longest=40)
    vat_id = Text(lazy("VAT number"), longest=20)
    sector = Select(lazy("Sector of activity"), lambda: choices.pairs_or_none(choices.SECTORS))
    street = Text(lazy("Street"), [DataRequired()], longest=200, autocomplete="street-address")
    postcode = Text(lazy("Postcode"), longest=20, autocomplete="postal-code")
    city = Text(lazy("City"), [DataRequired()], longest=100, autocomplete="address-level2")
    country = Select(lazy("Country"), choices.country_pairs, validators=[InputRequired()])
    phone = Phone(lazy("Phone"), longest=40, autocomplete="tel")
    website = Text(lazy("Website"), longest=200, autocomplete="url")
    accent_hue = Select(lazy("Accent colour"), choices.hues, coerce=int)

    def validate_registration_number(self, field: Text) -> None:
        """Check a French SIREN; other countries' numbers are taken as they are."""
        if field.data and self.country.data == "FR" and not is_siren(field.data):
            raise ValidationError(_("A SIREN has nine digits; please check for a typing mistake."))

    def validate_vat_id(self, field: Text) -> None:
        """Check the shape: more is not known without asking an authority."""
        if field.data and not is_vat_id(field.data):
            raise ValidationError(_("A VAT number begins with two letters, for example FR12345678901."))

    def validate_website(self, field: Text) -> None:
        """Refuse what is not a web address."""
        if not field.data:
            return
        try:
            parts = urlsplit(field.data)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in {"http", "https"} or not parts.hostname or " " in field.data:
            raise ValidationError(_("A website begins with https:// or http://."))
