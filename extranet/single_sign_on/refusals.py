"""Why somebody is not let in by their company's identity provider. The log says the code, the page what to do."""

from __future__ import annotations

from enum import StrEnum

from extranet.errors import ExtranetError


class Reason(StrEnum):
    """What was wrong."""

    OTHER_HOST = "other_host"
    NO_ATTEMPT = "no_attempt"
    STATE = "state"
    USED = "used"
    OTHER_SESSION = "other_session"
    PROVIDER_CHANGED = "provider_changed"
    DECLINED = "declined"
    PROVIDER_ERROR = "provider_error"
    UNREACHABLE = "unreachable"
    UNFIT = "unfit"
    EXCHANGE = "exchange"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    NONCE = "nonce"
    CLOCK = "clock"
    CLAIMS = "claims"
    NOT_FRESH = "not_fresh"
    OTHER_ACCOUNT = "other_account"
    UNKNOWN = "unknown"
    ADDRESS_IN_USE = "address_in_use"
    ADDRESS_UNVERIFIED = "address_unverified"
    ADDRESS_FOREIGN = "address_foreign"
    CLOSED = "closed"
    TAKEN = "taken"
    LINKED_ALREADY = "linked_already"
    INVITATION = "invitation"


class SignOnRefused(ExtranetError):
    """Raised when what comes from the identity provider opens nothing here. ``subject`` is whose account it was about.

    ``detail`` is a word of the provider's or of the library's, fit for the log.
    """

    def __init__(self, reason: Reason, subject: str = "", detail: str = "") -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.subject = subject
        self.detail = detail


class ConsentMissing(ExtranetError):
    """Raised when somebody came by a browser in which another person had agreed: they have to be asked themselves."""
