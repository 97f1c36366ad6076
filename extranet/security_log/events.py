"""Every kind of event there is. A kind nobody listed cannot be recorded."""

from enum import StrEnum


class Event(StrEnum):
    """What happened."""

    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGN_IN_THROTTLED = "sign_in_throttled"
    NEW_BROWSER = "new_browser"
    SIGNED_OUT = "signed_out"
    LOGIN_EXPIRED = "login_expired"
    LOGIN_ENDED = "login_ended"
    BROWSER_FORGOTTEN = "browser_forgotten"
    BROWSER_RENAMED = "browser_renamed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    PASSWORD_CHANGE_REFUSED = "password_change_refused"  # noqa: S105
    STRANGER_REPORTED = "stranger_reported"
    USER_CREATED = "user_created"
    USER_INVITED = "user_invited"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    USER_UNLOCKED = "user_unlocked"
    INVITATION_ACCEPTED = "invitation_accepted"
    INVITATION_REFUSED = "invitation_refused"
    ALL_SIGNED_OUT = "all_signed_out"
    RESTORED = "restored"
    UPLOAD_REFUSED = "upload_refused"
    COMPANY_CHANGED = "company_changed"
    HISTORY_EXPORTED = "history_exported"
    LOG_VIEWED = "log_viewed"
    LOG_EXPORTED = "log_exported"
    COOKIE_TAMPERED = "cookie_tampered"
    COOKIE_DUPLICATE = "cookie_duplicate"
    CSRF_REFUSED = "csrf_refused"
    ACCESS_DENIED = "access_denied"


class TenantEvent(StrEnum):
    """What operators did with the tenant as a whole. It concerns nobody in particular, so no history page shows it."""

    RENAMED = "tenant_renamed"
    CLOSED = "tenant_closed"
    REOPENED = "tenant_reopened"
    MOVED = "tenant_moved"
    CLONED = "tenant_cloned"


class Outcome(StrEnum):
    """How it ended."""

    OK = "ok"
    REFUSED = "refused"
