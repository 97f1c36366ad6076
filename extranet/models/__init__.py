"""The tables of a tenant database. Importing this package declares them all."""

from extranet.models.base import Base
from extranet.models.company import Company, CompanyVersion
from extranet.models.invitation import Invitation
from extranet.models.known_browser import KnownBrowser
from extranet.models.login import Login
from extranet.models.profile import Profile, ProfileVersion
from extranet.models.security_event import security_event_head_table, security_event_table
from extranet.models.throttle import throttle_table
from extranet.models.user import Role, User, UserState

__all__ = [
    "Base",
    "Company",
    "CompanyVersion",
    "Invitation",
    "KnownBrowser",
    "Login",
    "Profile",
    "ProfileVersion",
    "Role",
    "User",
    "UserState",
    "security_event_head_table",
    "security_event_table",
    "throttle_table",
]
