"""What the tests of signing in elsewhere share: setting a provider up, linking people, and the way there and back."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from sqlalchemy import select
from werkzeug.test import TestResponse

from extranet.models import Consent, Identity, IdentityProvider
from extranet.models.base import utc_now
from extranet.models.single_sign_on import CLIENT_SECRET_SEAL, THE_PROVIDER
from extranet.single_sign_on.consents import SIGN_ON, TEXT_VERSION
from tests.browser import Browser
from tests.platform import Platform, user_id

AGREED = {"agreed": TEXT_VERSION}
SECRET = "a client's secret: with a colon"
_GOING = re.compile(r'<meta http-equiv="refresh" content="0; url=([^"]+)"')


def set_up(platform: Platform, issuer: str, slug: str = "acme", **values: Any) -> None:
    """Set a tenant's provider up, and turn it on."""
    roles = {"role_values": json.dumps(values.pop("roles"))} if "roles" in values else {}
    secret = values.pop("secret", SECRET)
    said = {"name": "Acme ID", "issuer": issuer, "client_id": "extranet", "is_enabled": True, **values, **roles}
    with platform.db(slug) as db:
        context = CLIENT_SECRET_SEAL.bound_to(THE_PROVIDER)
        sealed = db.info["keys"].seal(CLIENT_SECRET_SEAL.purpose, secret.encode(), context=context) if secret else b""
        db.merge(IdentityProvider(id=THE_PROVIDER, client_secret=sealed, **said))


def link(platform: Platform, issuer: str, subject: str, username: str = "ben", slug: str = "acme") -> None:
    """Link somebody, who agreed."""
    with platform.db(slug) as db:
        db.add(Identity(user_id=user_id(username), issuer=issuer, subject=subject, name=subject))
        consent = {"purpose": SIGN_ON, "detail": issuer, "text_version": TEXT_VERSION, "given_at": utc_now()}
        db.add(Consent(user_id=user_id(username), **consent))


def way_out(page: TestResponse) -> str:
    """Return the address at the provider that a page leads on to."""
    assert page.status_code == 200, page.text
    found = _GOING.search(page.text)
    assert found, page.text
    return html.unescape(found[1])


def set_out(browser: Browser, path: str = "/sign-on/start", **form: str) -> str:
    """Agree and set out; return the address at the provider."""
    return way_out(browser.post(path, {**AGREED, **form}))


def come_back(browser: Browser, path: str) -> TestResponse:
    """Come back from the provider as a browser does: from another site."""
    return browser.get(path, headers={"Sec-Fetch-Site": "cross-site"})


def is_let_in(browser: Browser) -> bool:
    return browser.get("/").status_code == 200


def identities(platform: Platform, slug: str = "acme") -> list[tuple[str, str]]:
    with platform.db(slug, writing=False) as db:
        return [tuple(row) for row in db.execute(select(Identity.user_id, Identity.subject))]


def consents(platform: Platform, username: str, slug: str = "acme") -> list[Consent]:
    with platform.db(slug, writing=False) as db:
        return list(db.scalars(select(Consent).where(Consent.user_id == user_id(username))))


def forget_providers(platform: Platform) -> None:
    """Let ten minutes pass for what providers said."""
    providers = platform.app.extensions["extranet"].providers
    providers._known.clear()
    providers._faults.clear()
