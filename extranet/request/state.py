"""What the steps find out about a request, and hand to the steps after them. Plain records: nothing here acts."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import IntEnum

from extranet.request.user import SignedIn
from tenants.databases import TenantSession
from tenants.tenant import Tenant

NO_SECRET = bytes(32)


@dataclass(frozen=True, slots=True)
class Client:
    """The other side. ``address`` is "" when no trustworthy one is known."""

    address: str
    port: int
    scheme: str
    user_agent: str
    request_id: str = ""


class Kind(IntEnum):
    """What a session cookie stands for."""

    ANONYMOUS = 1
    LOGIN = 2
    INVITATION = 3
    PENDING = 4
    SUPPORT = 5


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The opened session cookie.

    ``secret`` is that of a login, a pending sign-in or a visit of support, an invitation's token, or zeros.

    ``link`` is the token of a one-time link that was opened in this browser, by somebody signed in or not.
    """

    kind: Kind = Kind.ANONYMOUS
    notice: int = 0
    csrf: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    secret: bytes = NO_SECRET
    expires: int = 0
    link: bytes = NO_SECRET


@dataclass(slots=True)
class State:
    """What the steps have found so far. Made new for each request; nothing outlives it."""

    request_id: str
    started: float
    writes: bool
    resources: ExitStack = field(default_factory=ExitStack)
    client: Client | None = None
    tenant: Tenant | None = None
    db: TenantSession | None = None
    cookie: SessionCookie | None = None
    cookie_read: SessionCookie | None = None
    has_cookie: bool = False
    cookie_changed: bool = False
    device: bytes = b""
    new_device: bytes = b""
    attempt: bytes | None = None
    user: SignedIn | None = None
    accent: int | None = None
    logo: str = ""
    welcome: str = ""
