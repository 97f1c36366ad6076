"""Every kind of event there is. A kind nobody listed cannot be recorded."""

from enum import StrEnum


class Event(StrEnum):
    """What happened."""

    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGN_IN_THROTTLED = "sign_in_throttled"
    SIGN_INS_FLOODED = "sign_ins_flooded"
    NEW_BROWSER = "new_browser"
    SIGNED_OUT = "signed_out"
    LOGIN_EXPIRED = "login_expired"
    LOGIN_ENDED = "login_ended"
    LOGIN_MOVED = "login_moved"
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
    SECOND_STEP_ASKED = "second_step_asked"
    SECOND_STEP_REFUSED = "second_step_refused"
    SECOND_STEP_THROTTLED = "second_step_throttled"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    FACTOR_RENAMED = "factor_renamed"
    FACTORS_RESET = "factors_reset"
    FACTORS_RESET_ASKED = "factors_reset_asked"
    RECOVERY_CODES_MADE = "recovery_codes_made"
    RECOVERY_CODE_USED = "recovery_code_used"
    PASSKEY_COUNTER_FELL = "passkey_counter_fell"
    IDENTITY_CONFIRMED = "identity_confirmed"
    IDENTITY_NOT_CONFIRMED = "identity_not_confirmed"
    RESET_ASKED = "reset_asked"
    RESET_STARTED = "reset_started"
    PASSWORD_RESET = "password_reset"  # noqa: S105
    LINK_REFUSED = "link_refused"
    EMAIL_CHANGE_ASKED = "email_change_asked"
    EMAIL_CHANGED = "email_changed"
    EMAIL_CHANGE_UNDONE = "email_change_undone"
    BROWSER_REUSED = "browser_reused"
    INVITATION_REVOKED = "invitation_revoked"
    ROLE_CHANGED = "role_changed"
    USERNAME_CHANGED = "username_changed"
    USERS_IMPORTED = "users_imported"
    USERS_EXPORTED = "users_exported"
    POLICY_CHANGED = "policy_changed"
    LOG_NOTICE_READ = "log_notice_read"
    MAIL_GIVEN_UP = "mail_given_up"
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
    SUSPENDED = "tenant_suspended"
    RESUMED = "tenant_resumed"
    MOVED = "tenant_moved"
    CLONED = "tenant_cloned"
    KEYS_ROTATED = "keys_rotated"


class Outcome(StrEnum):
    """How it ended."""

    OK = "ok"
    REFUSED = "refused"
