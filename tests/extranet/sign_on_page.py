"""What the tests of single sign-on's pages share: a provider that says what it is, settings to type, and links."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc.jwk import RSAKey

from extranet.models import Consent, Identity, IdentityProvider
from extranet.models.single_sign_on import THE_PROVIDER
from extranet.single_sign_on.consents import SIGN_ON
from extranet.single_sign_on.outbound import Outbound
from tests.platform import Platform, user_id

WHEN = datetime(2026, 11, 22, 13, 5, tzinfo=UTC)
SECRET = "a secret nobody may see again"
SETTINGS = {
    "name": "Acme ID",
    "issuer": "https://id.acme.example/realms/acme",
    "client_id": "extranet",
    "client_secret": SECRET,
    "who": "everybody",
    "email_domains": "Acme.com, @acme.be",
    "role_claim": "groups",
    "role_admin": "bosses\nthe board",
    "role_manager": "",
    "role_member": "staff",
    "role_guest": "",
}

FAULTS: tuple[tuple[dict[str, str], str], ...] = (
    ({"name": ""}, "name"),
    ({"issuer": "id.acme.example"}, "issuer"),
    ({"issuer": "javascript://x/%0aalert(1)"}, "issuer"),
    ({"issuer": "https://user:word@id.acme.example"}, "issuer"),
    ({"issuer": "https://id.acme.example?x=1"}, "issuer"),
    ({"issuer": "https://[::1"}, "issuer"),
    ({"issuer": "https://id.acme.example:99999"}, "issuer"),
    ({"client_id": "x" * 201}, "client_id"),
    ({"client_secret": "x" * 501}, "client_secret"),
    ({"forgets_secret": "y"}, "client_secret"),
    ({"who": "nobody"}, "who"),
    ({"email_domains": "acme.com not_a_domain"}, "email_domains"),
    ({"email_domains": "", "issuer": "https://accounts.google.com"}, "email_domains"),
    ({"role_claim": ""}, "role_claim"),
    ({"role_admin": "", "role_member": ""}, "role_claim"),
    ({"role_guest": "staff"}, "role_member"),
)
"""Values that cannot be meant so, and the field where that is said."""


class Provider(ThreadingHTTPServer):
    """Says on loopback what it is, and no more. ``meanwhile`` is done while somebody waits for it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[str] = []
        self.meanwhile: Callable[[], Any] = lambda: None
        self.says: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        self.keys = {"keys": [RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}).as_dict(private=False)]}


class _Answers(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.meanwhile()
        content = json.dumps(self.server.keys if self.path == "/keys" else self.server.says).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def provider_for(platform: Platform) -> Iterator[Provider]:
    """Run a provider that this platform's operator allows inside."""
    with Provider() as server:
        running = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        running.start()
        outbound: Outbound = platform.app.extensions["extranet"].outbound
        outbound._inside = frozenset({"127.0.0.1"})
        try:
            yield server
        finally:
            server.shutdown()
            running.join()


def set_up(platform: Platform, slug: str = "acme", **about: Any) -> None:
    """Store a provider without going by the page: it is on."""
    values = {"name": "Acme ID", "issuer": SETTINGS["issuer"], "client_id": "extranet", "is_enabled": True, **about}
    with platform.db(slug) as db:
        db.add(IdentityProvider(id=THE_PROVIDER, **values))


def link(platform: Platform, person: str, slug: str = "acme", issuer: str = SETTINGS["issuer"]) -> None:
    """Link somebody, who agreed to it."""
    account = f"{person}@{slug}.example"
    with platform.db(slug) as db:
        db.add(Identity(user_id=user_id(person), issuer=issuer, subject=person, name=account, linked_at=WHEN))
        db.add(Consent(user_id=user_id(person), purpose=SIGN_ON, detail=issuer, text_version="2026-11", given_at=WHEN))


def stored(platform: Platform, slug: str = "acme") -> IdentityProvider | None:
    """Return what is stored."""
    with platform.db(slug, writing=False) as db:
        return db.get(IdentityProvider, THE_PROVIDER)


def links_of(platform: Platform, slug: str = "acme") -> list[str]:
    """Return who is linked, by name there."""
    with platform.db(slug, writing=False) as db:
        return sorted(identity.name for identity in db.query(Identity))
