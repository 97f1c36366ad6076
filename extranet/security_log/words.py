"""What an entry of the security log says to people: one sentence for every event there is."""

from __future__ import annotations

from typing import Any

from extranet.factors.policy import SIGN_ON
from extranet.i18n import lazy
from extranet.security_log.events import Event, TenantEvent
from extranet.security_log.origin import OPERATOR, supporter
from tenants.journal import Entry

SENTENCES: dict[Event | TenantEvent, Any] = {
    Event.SIGNED_IN: lazy("Signed in"),
    Event.SIGN_IN_REFUSED: lazy("Sign-in refused: wrong password or disabled account"),
    Event.SIGN_IN_THROTTLED: lazy("Sign-in refused: too many attempts"),
    Event.SIGN_INS_FLOODED: lazy("Far too many sign-ins failed: from now on those from unknown browsers wait in line"),
    Event.NEW_BROWSER: lazy("New browser"),
    Event.SIGNED_OUT: lazy("Signed out"),
    Event.LOGIN_EXPIRED: lazy("Signed out automatically"),
    Event.LOGIN_MOVED: lazy("Session went on in another browser"),
    Event.LOGIN_ENDED: lazy("Session ended"),
    Event.BROWSER_FORGOTTEN: lazy("Browser forgotten"),
    Event.BROWSER_RENAMED: lazy("Browser renamed"),
    Event.BROWSER_REUSED: lazy("Browser forgotten: an old copy of its cookie was used"),
    Event.PASSWORD_CHANGED: lazy("Password changed"),
    Event.PASSWORD_CHANGE_REFUSED: lazy("Password change refused: wrong current password"),
    Event.STRANGER_REPORTED: lazy("Reported as done by somebody else"),
    Event.SECOND_STEP_ASKED: lazy("First step right, second step asked for"),
    Event.SECOND_STEP_REFUSED: lazy("Second step refused"),
    Event.SECOND_STEP_THROTTLED: lazy("Second step refused: too many attempts"),
    Event.FACTOR_ADDED: lazy("Second factor added"),
    Event.FACTOR_REMOVED: lazy("Second factor removed"),
    Event.FACTOR_RENAMED: lazy("Passkey renamed"),
    Event.FACTORS_RESET: lazy("Second factors reset"),
    Event.FACTORS_WITHDRAWN: lazy("Second factors removed that were added after what was reported"),
    Event.FACTORS_RESET_ASKED: lazy("Reset of second factors asked for, or dropped"),
    Event.RECOVERY_CODES_MADE: lazy("New recovery codes made"),
    Event.RECOVERY_CODE_USED: lazy("Recovery code used"),
    Event.PASSKEY_COUNTER_FELL: lazy("Passkey refused: it may have been copied"),
    Event.IDENTITY_CONFIRMED: lazy("Identity confirmed"),
    Event.IDENTITY_NOT_CONFIRMED: lazy("Identity not confirmed"),
    Event.RESET_ASKED: lazy("Link for a new password asked for"),
    Event.RESET_STARTED: lazy("Link for a new password sent by an administrator"),
    Event.PASSWORD_RESET: lazy("New password chosen by link"),
    Event.LINK_REFUSED: lazy("Link refused: used before, replaced or too old"),
    Event.EMAIL_CHANGE_ASKED: lazy("Another e-mail address asked for"),
    Event.EMAIL_CHANGED: lazy("E-mail address changed"),
    Event.EMAIL_CHANGE_UNDONE: lazy("Change of the e-mail address undone"),
    Event.SIGN_ON_CONSENTED: lazy("Agreed to sign in through the company's identity provider"),
    Event.SIGN_ON_REFUSED: lazy("Sign-in through the identity provider refused"),
    Event.SIGN_ON_ROLE_KEPT: lazy("Role kept: the identity provider would have demoted the last administrator"),
    Event.IDENTITY_LINKED: lazy("Account linked to the identity provider"),
    Event.IDENTITY_UNLINKED: lazy("Account no longer linked to the identity provider"),
    Event.USER_CREATED: lazy("Account created"),
    Event.USER_INVITED: lazy("Invitation made"),
    Event.USER_DISABLED: lazy("Account disabled"),
    Event.USER_ENABLED: lazy("Account enabled"),
    Event.USER_UNLOCKED: lazy("Failed attempts forgotten"),
    Event.ROLE_CHANGED: lazy("Role changed"),
    Event.USERNAME_CHANGED: lazy("Username changed"),
    Event.USERS_IMPORTED: lazy("People imported"),
    Event.USERS_EXPORTED: lazy("List of people downloaded"),
    Event.INVITATION_ACCEPTED: lazy("Invitation accepted"),
    Event.INVITATION_REFUSED: lazy("Invitation refused"),
    Event.INVITATION_REVOKED: lazy("Invitation taken back"),
    Event.MAIL_GIVEN_UP: lazy("A mail could not be delivered"),
    Event.UPLOAD_REFUSED: lazy("Upload refused"),
    Event.COMPANY_CHANGED: lazy("Company registration changed"),
    Event.POLICY_CHANGED: lazy("Security rules changed"),
    Event.IDENTITY_PROVIDER_CHANGED: lazy("Single sign-on settings changed"),
    Event.LOG_NOTICE_READ: lazy("Read what the logs are for"),
    Event.LOG_VIEWED: lazy("An administrator viewed the logs"),
    Event.LOG_EXPORTED: lazy("An administrator downloaded the logs"),
    Event.LOG_PRUNED: lazy("Old entries of the logs were removed, as the security policy says"),
    Event.ALL_SIGNED_OUT: lazy("Everybody was signed out by the operator of this service"),
    Event.RESTORED: lazy("A backup was restored by the operator of this service"),
    Event.HISTORY_EXPORTED: lazy("Sign-in history downloaded"),
    Event.SUPPORT_ASKED: lazy("Support asked for access"),
    Event.SUPPORT_GRANTED: lazy("Access granted to support"),
    Event.SUPPORT_DECLINED: lazy("Access for support declined"),
    Event.SUPPORT_REVOKED: lazy("Access of support revoked"),
    Event.SUPPORT_ENDED: lazy("Access of support given back"),
    Event.SUPPORT_LINK_MADE: lazy("Support made a link to enter with"),
    Event.SUPPORT_ENTERED: lazy("Support entered this extranet"),
    Event.SUPPORT_LEFT: lazy("Support left this extranet"),
    Event.SUPPORT_VIEWED: lazy("Support opened a page"),
    Event.SUPPORT_PAGE_REFUSED: lazy("Support tried to open a page that is closed to it"),
    Event.CSRF_REFUSED: lazy("Form refused: not sent from this extranet, or too old"),
    Event.COOKIE_TAMPERED: lazy("Cookie refused"),
    Event.COOKIE_DUPLICATE: lazy("Cookie refused: sent twice"),
    Event.ACCESS_DENIED: lazy("Page refused: not for this role"),
    TenantEvent.RENAMED: lazy("This extranet was given another address"),
    TenantEvent.CLOSED: lazy("This extranet was closed"),
    TenantEvent.REOPENED: lazy("This extranet was opened again"),
    TenantEvent.SUSPENDED: lazy("This extranet was suspended"),
    TenantEvent.RESUMED: lazy("This extranet is no longer suspended"),
    TenantEvent.MOVED: lazy("This extranet was moved to another server"),
    TenantEvent.CLONED: lazy("This extranet was copied from another one"),
    TenantEvent.KEYS_ROTATED: lazy("The keys of this extranet were renewed"),
}
"""By event, whoever did it and whomever it concerns."""

_BY_OPERATOR = {
    Event.LOG_VIEWED: lazy("The operator of this service viewed the security log"),
    Event.LOG_EXPORTED: lazy("The operator of this service exported the security log"),
}
_BY_SUPPORT = {
    Event.LOG_VIEWED: lazy("Support viewed the logs"),
}
_ABOUT_THE_READER = {
    Event.LOG_VIEWED: lazy("An administrator viewed your entries in the logs"),
    Event.LOG_EXPORTED: lazy("An administrator downloaded your entries in the logs"),
}

_SIGNED_ON = lazy("Signed in by way of the identity provider")

# By name: an older or newer release may have written kinds that this one does not know.
_BY_NAME = {event.value: sentence for event, sentence in SENTENCES.items()}


def sentence_of(entry: Entry, reader: str = "") -> str:
    """Return what an entry says, to the person with the id ``reader``."""
    if entry.actor == OPERATOR and entry.event in _BY_OPERATOR:
        return str(_BY_OPERATOR[Event(entry.event)])
    if supporter(entry.actor) and entry.event in _BY_SUPPORT:
        return str(_BY_SUPPORT[Event(entry.event)])
    if reader == entry.subject and entry.actor != reader and entry.event in _ABOUT_THE_READER:
        return str(_ABOUT_THE_READER[Event(entry.event)])
    if entry.event == Event.SIGNED_IN and SIGN_ON in entry.details.get("factors", ()):
        return str(_SIGNED_ON)
    return str(_BY_NAME.get(entry.event, entry.event))
