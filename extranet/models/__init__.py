"""The tables of a tenant database. Importing this package declares them all."""

from extranet.models.activity import activity_head_table, activity_table
from extranet.models.base import Base
from extranet.models.company import Company, CompanyVersion, SecondFactorPolicy
from extranet.models.invitation import Invitation
from extranet.models.known_browser import KnownBrowser
from extranet.models.login import Login
from extranet.models.mail import Mail
from extranet.models.one_time_link import LinkPurpose, OneTimeLink
from extranet.models.previous_password import PreviousPassword
from extranet.models.profile import Profile, ProfileVersion
from extranet.models.second_factor import Passkey, PendingSignIn, RecoveryCode, Totp, UsedChallenge
from extranet.models.security_event import security_event_head_table, security_event_table
from extranet.models.single_sign_on import Consent, Identity, IdentityProvider
from extranet.models.support import SupportGrant, SupportVisit
from extranet.models.throttle import throttle_table
from extranet.models.user import Role, User, UserState

__all__ = [
    "Base",
    "Company",
    "CompanyVersion",
    "Consent",
    "Identity",
    "IdentityProvider",
    "Invitation",
    "KnownBrowser",
    "LinkPurpose",
    "Login",
    "Mail",
    "OneTimeLink",
    "Passkey",
    "PendingSignIn",
    "PreviousPassword",
    "Profile",
    "ProfileVersion",
    "RecoveryCode",
    "Role",
    "SecondFactorPolicy",
    "SupportGrant",
    "SupportVisit",
    "Totp",
    "UsedChallenge",
    "User",
    "UserState",
    "activity_head_table",
    "activity_table",
    "security_event_head_table",
    "security_event_table",
    "throttle_table",
]
