"""What an entry of the activity log says to people: one sentence for every change there is."""

from __future__ import annotations

from typing import Any

from extranet.activity.changes import Change
from extranet.i18n import lazy

SENTENCES: dict[Change, Any] = {
    Change.PROFILE_CHANGED: lazy("Profile changed"),
    Change.DISPLAY_CHANGED: lazy("Language and display changed"),
    Change.PICTURE_CHANGED: lazy("Picture changed"),
    Change.COMPANY_CHANGED: lazy("Company registration changed"),
    Change.BRANDING_CHANGED: lazy("Look changed"),
    Change.POLICY_CHANGED: lazy("Security rules changed"),
    Change.IDENTITY_PROVIDER_CHANGED: lazy("Single sign-on settings changed"),
    Change.USER_CREATED: lazy("Account created"),
    Change.USER_INVITED: lazy("Invitation made"),
    Change.INVITATION_REVOKED: lazy("Invitation taken back"),
    Change.INVITATION_ACCEPTED: lazy("Invitation accepted"),
    Change.USERS_IMPORTED: lazy("People imported"),
    Change.ROLE_CHANGED: lazy("Role changed"),
    Change.USERNAME_CHANGED: lazy("Username changed"),
    Change.EMAIL_CHANGED: lazy("E-mail address changed"),
    Change.USER_DISABLED: lazy("Account disabled"),
    Change.USER_ENABLED: lazy("Account enabled"),
    Change.USER_UNLOCKED: lazy("Failed attempts forgotten"),
    Change.PASSWORD_CHANGED: lazy("Password changed"),
    Change.IDENTITY_LINKED: lazy("Account linked to the identity provider"),
    Change.IDENTITY_UNLINKED: lazy("Account no longer linked to the identity provider"),
    Change.FACTOR_ADDED: lazy("Second factor added"),
    Change.FACTOR_RENAMED: lazy("Passkey renamed"),
    Change.FACTOR_REMOVED: lazy("Second factor removed"),
    Change.FACTORS_RESET: lazy("Second factors reset"),
    Change.FACTORS_WITHDRAWN: lazy("Second factors removed that were added after what was reported"),
    Change.RECOVERY_CODES_MADE: lazy("New recovery codes made"),
    Change.LOGIN_ENDED: lazy("Session ended"),
    Change.BROWSER_RENAMED: lazy("Browser renamed"),
    Change.BROWSER_FORGOTTEN: lazy("Browser forgotten"),
    Change.STRANGER_REPORTED: lazy("Reported as done by somebody else"),
    Change.ALL_SIGNED_OUT: lazy("Everybody was signed out by the operator of this service"),
    Change.TENANT_RENAMED: lazy("This extranet was given another address"),
    Change.TENANT_STATE_CHANGED: lazy("This extranet was opened, suspended or closed"),
    Change.TENANT_MOVED: lazy("This extranet was moved to another server"),
    Change.TENANT_CLONED: lazy("This extranet was copied from another one"),
    Change.SUPPORT_ASKED: lazy("Support asked for access"),
    Change.SUPPORT_GRANTED: lazy("Access granted to support"),
    Change.SUPPORT_DECLINED: lazy("Access for support declined"),
    Change.SUPPORT_ENDED: lazy("Access of support ended"),
    Change.SUPPORT_LINK_MADE: lazy("Support made a link to enter with"),
    Change.SUPPORT_ENTERED: lazy("Support entered this extranet"),
    Change.SUPPORT_LEFT: lazy("Support left this extranet"),
    Change.RESTORED: lazy("A backup was restored by the operator of this service"),
    Change.LOG_PRUNED: lazy("Old entries of the logs were removed, as the security policy says"),
    Change.KEYS_ROTATED: lazy("The keys of this extranet were renewed"),
    Change.EXPORTED: lazy("Data downloaded"),
}

_BY_NAME = {change.value: sentence for change, sentence in SENTENCES.items()}


def sentence_of(event: str) -> str:
    """Return what a change is called; its code, for one that another release wrote."""
    return str(_BY_NAME.get(event, event))
