"""What the tests of Administration share: a second administrator, uploads, and mails that wait to be sent."""

from __future__ import annotations

import io
import re

from sqlalchemy import select
from werkzeug.test import TestResponse

from extranet.models import Mail, Totp
from extranet.models.base import utc_now
from tests.browser import Browser
from tests.platform import Platform, user_id

BEN, ANNA, GUS = user_id("ben"), user_id("anna"), user_id("gus")
HEADINGS = "First name,Last name,E-mail,Username,Role,Department,Job title\n"


def upload(browser: Browser, content: bytes | str, name: str = "people.csv") -> TestResponse:
    """Upload a list of people."""
    sent = content.encode() if isinstance(content, str) else content
    return browser.post("/admin/import", {"people": (io.BytesIO(sent), name)})


def upload_much(browser: Browser, content: bytes) -> TestResponse:
    """Upload what Werkzeug's client would put into a file that it leaves open."""
    frame = b"--x\r\nContent-Disposition: form-data; name="
    body = frame + b'"csrf_token"\r\n\r\n' + browser.token().encode() + b"\r\n"
    body += frame + b'"people"; filename="many.csv"\r\n\r\n' + content + b"\r\n--x--\r\n"
    headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
    kind = "multipart/form-data; boundary=x"
    return browser._open("POST", "/admin/import", data=body, content_type=kind, headers=headers)


def confirm(browser: Browser) -> TestResponse:
    """Confirm the list that is shown."""
    found = re.search(r'name="file" value="(\w+)"', browser.get("/admin/import").text)
    assert found, "there is nothing to confirm"
    return browser.post("/admin/import/confirm", {"file": found[1]})


def figures(page: TestResponse) -> dict[str, str]:
    """Return the figures a page shows, by what they are called."""
    return dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page.text))


def mails(platform: Platform, kind: str = "", slug: str = "acme") -> list[str]:
    """Return whom mails are waiting for, by id."""
    with platform.db(slug, writing=False) as db:
        rows = select(Mail.user_id).order_by(Mail.created_at, Mail.id)
        return list(db.scalars(rows.where(Mail.kind == kind) if kind else rows))


def equip(platform: Platform, person: str, slug: str = "acme") -> None:
    """Give somebody an authenticator app."""
    with platform.db(slug) as db:
        db.add(Totp(user_id=person, secret=b"sealed", confirmed_at=utc_now()))


def names_on(page: TestResponse) -> list[str]:
    """Return the people a list shows, in its order."""
    return re.findall(r'class="who-cell".*?</span><span>([^<]*)</span>', page.text)


def many(count: int, start: int = 0) -> str:
    """Return a list of so many people."""
    rows = (f"Person{i},Number{i},p{i}@people.example,,,Sales,\n" for i in range(start, start + count))
    return HEADINGS + "".join(rows)
