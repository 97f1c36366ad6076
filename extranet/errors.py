"""What operations refuse, in words fit for the person who asked."""

from __future__ import annotations


class ExtranetError(Exception):
    """Base of the family. Its message is shown as it is; never put a cause from inside into it."""


class Invalid(ExtranetError):
    """Raised when input is refused; ``field`` names the form field it belongs to."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class NotFound(ExtranetError):
    """Raised when there is no such thing, or none this person may see: the two answer alike."""


class NotAllowed(ExtranetError):
    """Raised when this person's role does not permit it."""


class SignInRefused(ExtranetError):
    """Raised when name and password do not open an account, whatever the reason."""


class TooManyAttempts(ExtranetError):
    """Raised when an attempt may not be made now; ``retry_after`` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many attempts.")
        self.retry_after = retry_after


class NoSlot(ExtranetError):
    """Raised when all password slots stayed busy; ``retry_after`` is in seconds, and grows with the crowd."""

    retry_after: int = 3


class InvitationRefused(ExtranetError):
    """Raised when an invitation is unknown, used, replaced or too old."""


class LinkRefused(ExtranetError):
    """Raised when a one-time link is unknown, used, replaced, ended or too old."""


class SupportRefused(ExtranetError):
    """Raised when support access is asked for, used or given back in a way that no grant allows."""


class NotForSupport(ExtranetError):
    """Raised when somebody of the operator's support asks for a page that is closed to them."""


class FactorRefused(ExtranetError):
    """Raised when a code, a recovery code or a passkey does not prove who somebody is."""


class SecondStepOver(ExtranetError):
    """Raised when there is no sign-in that waits for its second step: it is done, too old, or was never begun."""


class ProviderFault(ExtranetError):
    """Raised when an identity provider cannot be used; its sentence is for whoever set it up."""


class ProviderUnreachable(ProviderFault):
    """Raised when an identity provider does not answer."""


class ProviderUnfit(ProviderFault):
    """Raised when what answers is not the identity provider that was entered, or none we can trust."""
