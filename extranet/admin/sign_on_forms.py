"""The form of Administration > Single sign-on, and how what it says is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from wtforms import BooleanField, PasswordField, SelectField, TextAreaField
from wtforms.validators import DataRequired, Length

from extranet.accounts.names import parse_email
from extranet.admin.words import ROLES
from extranet.errors import Invalid
from extranet.forms import EditForm, Text, clean, one_line, readable
from extranet.i18n import gettext as _
from extranet.i18n import lazy
from extranet.models import IdentityProvider
from extranet.preferences import choices

LONGEST_SECRET = 500
_LONGEST_DOMAINS = 500
_LONGEST_VALUES = 2000
_WELL_KNOWN = "/.well-known/openid-configuration"
INVITED, EVERYBODY = "invited", "everybody"
WHO = {
    INVITED: lazy("People invited or linked"),
    EVERYBODY: lazy("Everybody it vouches for"),
}
# These vouch for anybody in the world who asked for an account there.
_FOR_ANYBODY = frozenset(
    {
        "https://accounts.google.com",
        "https://appleid.apple.com",
        "https://gitlab.com",
        "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        "https://www.linkedin.com/oauth",
    }
)


def _values(label: Any) -> TextAreaField:
    checks = [Length(max=_LONGEST_VALUES), readable]
    return TextAreaField(label, checks, filters=[clean], render_kw={"maxlength": _LONGEST_VALUES, "rows": 2})


class SignOnForm(EditForm):
    """Where people sign in elsewhere, and who gets in that way. The secret is written only: it is never shown."""

    name = Text(lazy("Name on the button"), [DataRequired()], longest=60)
    issuer = Text(lazy("Issuer"), [DataRequired()], longest=500)
    client_id = Text(lazy("Client ID"), [DataRequired()], longest=200)
    client_secret = PasswordField(
        lazy("Client secret"),
        [Length(max=LONGEST_SECRET), readable, one_line],
        filters=[clean],
        render_kw={"maxlength": LONGEST_SECRET, "autocomplete": "new-password"},
    )
    forgets_secret = BooleanField(lazy("Remove the stored secret"))
    who = SelectField(lazy("Who gets in"), choices=lambda: choices.pairs(WHO), default=INVITED)
    email_domains = Text(lazy("Mail domains"), longest=_LONGEST_DOMAINS)
    proves_second_factor = BooleanField(lazy("It asks for a second factor itself, so this extranet need not"))
    role_claim = Text(lazy("Claim that tells the role"), longest=100)
    role_admin = _values(ROLES["admin"])
    role_manager = _values(ROLES["manager"])
    role_member = _values(ROLES["member"])
    role_guest = _values(ROLES["guest"])

    def check(self, stored: IdentityProvider | None) -> bool:
        """Put a fault beside each field that cannot be meant so, all at once."""
        self._check_issuer()
        self._check_domains()
        self._check_roles()
        self._check_secret(stored)
        return not self.errors

    def provider_values(self) -> dict[str, Any]:
        """Return what the provider's row shall say, the secret aside."""
        return {
            "name": self.name.data,
            "issuer": self.issuer.data,
            "client_id": self.client_id.data,
            "creates_people": self.who.data == EVERYBODY,
            "email_domains": self.email_domains.data,
            "proves_second_factor": self.proves_second_factor.data,
            "role_claim": self.role_claim.data,
            "role_values": json.dumps(self._roles_by_value(), ensure_ascii=False, sort_keys=True),
        }

    def new_secret(self) -> str | None:
        """Return the secret to store from now on: None keeps the one there is, "" is none."""
        return "" if self.forgets_secret.data else self.client_secret.data or None

    def _check_issuer(self) -> None:
        # Who copied the address of the document meant the issuer: no issuer ends like this.
        self.issuer.data = (self.issuer.data or "").removesuffix(_WELL_KNOWN)
        try:
            url = urlsplit(self.issuer.data)
            is_one = url.scheme in {"https", "http"} and bool(url.hostname) and (url.port is None or url.port > 0)
        except ValueError:
            is_one = False
        if not is_one or "@" in url.netloc or url.query or url.fragment or not self.issuer.data.isprintable():
            self.reject("issuer", _("Write the whole address of the issuer, for example https://id.example.com."))

    def _check_domains(self) -> None:
        found = []
        for word in (self.email_domains.data or "").replace(",", " ").replace(";", " ").split():
            try:
                # Spelled as the domains of people's addresses are, for it is compared with those.
                found.append(parse_email(f"somebody@{word.removeprefix('@')}").partition("@")[2])
            except Invalid:
                self.reject("email_domains", _("%(text)s is not a mail domain.", text=repr(word[:100])))
        if not self.email_domains.errors:
            self.email_domains.data = " ".join(dict.fromkeys(found))
        issuer = (self.issuer.data or "").rstrip("/").lower()
        if self.who.data == EVERYBODY and issuer in _FOR_ANYBODY and not found:
            self.reject("email_domains", _("Anybody in the world can have an account there: name your mail domains."))

    def _check_roles(self) -> None:
        values = [(role, value) for role in ROLES for value in self._values_of(role)]
        roles = self._roles_by_value()
        for role, value in values:
            if roles[value] != role:
                self.reject(f"role_{role}", _("%(value)s stands for two roles.", value=repr(value[:100])))
        if values and not self.role_claim.data:
            self.reject("role_claim", _("Name the claim in which these values are."))
        elif self.role_claim.data and not values:
            self.reject("role_claim", _("Write at least one value of this claim beside the role it stands for."))

    def _check_secret(self, stored: IdentityProvider | None) -> None:
        if self.forgets_secret.data and self.client_secret.data:
            self.reject("client_secret", _("Type a new secret or remove the stored one, not both."))
        elif stored and stored.client_secret and stored.issuer != self.issuer.data and self.new_secret() is None:
            # Else whoever may change the issuer could have the secret sent to a server of their own.
            self.reject(
                "client_secret", _("The stored secret belongs to the earlier issuer: type that of the new one.")
            )

    def _roles_by_value(self) -> dict[str, str]:
        return {value: role for role in ROLES for value in self._values_of(role)}

    def _values_of(self, role: str) -> list[str]:
        lines = (self[f"role_{role}"].data or "").split("\n")
        return [line.strip() for line in lines if line.strip()]


@dataclass(frozen=True, slots=True)
class Kind:
    """A provider many companies have: what to choose there, and what its issuer looks like."""

    name: str
    choose: str
    issuer: str


def known_kinds() -> list[Kind]:
    """Return the providers many companies have."""
    return [
        Kind(
            "Microsoft Entra ID",
            _("App registrations, New registration, platform Web; then a client secret."),
            "https://login.microsoftonline.com/<" + _("tenant-id") + ">/v2.0",
        ),
        Kind(
            "Google Workspace",
            _("Google Cloud console, Credentials, OAuth client ID of type Web application. Name your mail domains."),
            "https://accounts.google.com",
        ),
        Kind(
            "Keycloak",
            _("Clients, Create client, OpenID Connect, with client authentication and the standard flow."),
            "https://<" + _("your-host") + ">/realms/<" + _("realm") + ">",
        ),
    ]


def stored_values(provider: IdentityProvider | None) -> dict[str, Any]:
    """Return what the form is filled in with, and compares with when it comes back."""
    if provider is None:
        return {**SignOnForm().values, "secret_mark": ""}
    return {
        "name": provider.name,
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": "",
        "forgets_secret": False,
        "who": EVERYBODY if provider.creates_people else INVITED,
        "email_domains": provider.email_domains,
        "proves_second_factor": provider.proves_second_factor,
        "role_claim": provider.role_claim,
        **_roles_shown(json.loads(provider.role_values)),
        # Not a field: two tabs notice too that the secret was changed, of which no form shows anything.
        "secret_mark": hashlib.sha256(provider.client_secret).hexdigest(),
    }


def _roles_shown(roles: Mapping[str, str]) -> dict[str, str]:
    return {f"role_{role}": "\n".join(value for value in sorted(roles) if roles[value] == role) for role in ROLES}
