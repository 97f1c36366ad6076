"""Support let into one tenant is nobody at the other, though the same people were let into both."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select

from extranet.errors import LinkRefused, SupportRefused
from extranet.models import SupportGrant, SupportVisit
from extranet.request.cookies import SESSION_COOKIE
from extranet.support.operations import revoke
from extranet.support.visits import begin_visit, make_link
from tests.evidence import NewEvents, ask, events, face, post_form, said, untouched
from tests.extranet.support import OLGA, enter, grant, link, staff
from tests.platform import OPERATOR_ORIGIN, SLUGS, Platform, user_id
from tests.posted import mails_of

PAGES = ("/", "/admin/people", "/admin/support", "/preferences/company", "/admin/usage")


def token_on(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]


def test_a_visit_and_its_cookie_are_nothing_at_the_other_tenant(platform: Platform) -> None:
    member = staff(platform)
    grant(platform, "acme", writes=True)
    browser = enter(platform, "acme")
    token = token_on(browser.get("/").text)
    cookie = f"{SESSION_COOKIE}={browser.cookie(SESSION_COOKIE)}"
    noted = NewEvents(platform, "globex")
    with untouched(platform, "acme"):
        for page in PAGES:
            assert ask(platform, "globex", page, cookie=cookie).headers["Location"].startswith("/login")
        sent = {"csrf_token": token, "accent_hue": "20", "welcome": "Hello"}
        assert post_form(platform, "globex", "/admin/look", sent, cookie=cookie).status_code == 403
    assert set(noted.take()) == {"cookie_tampered"}
    # Where nobody granted it, there is no link either, however welcome they are elsewhere.
    with platform.db("globex") as db, pytest.raises(SupportRefused):
        make_link(db, member, OPERATOR_ORIGIN)


def test_a_link_opens_at_its_own_tenant_alone_though_both_let_the_same_person_in(platform: Platform) -> None:
    member = staff(platform)
    for slug in SLUGS:
        grant(platform, slug)
    ours, theirs = link(platform, "acme"), link(platform, "globex")
    with untouched(platform, "globex"):
        refused = ask(platform, "acme", theirs)
        assert refused.status_code == 410
        assert face(refused) == face(ask(platform, "acme", "/support/" + "A" * 43))
        # Not even where the row itself was copied.
        with platform.db("globex", writing=False) as db:
            copied = db.scalars(select(SupportVisit)).one().secret_hash
    with platform.db("acme") as db:
        own = db.scalars(select(SupportVisit)).one()
        kept, own.secret_hash = own.secret_hash, copied
    assert ask(platform, "acme", theirs).status_code == 410
    with platform.db("acme") as db, pytest.raises(LinkRefused):
        begin_visit(db, b"x" * 32, member, OPERATOR_ORIGIN)
    with platform.db("acme") as db:
        db.scalars(select(SupportVisit)).one().secret_hash = kept
    assert ask(platform, "acme", ours).status_code == ask(platform, "globex", theirs).status_code == 303


def test_what_is_done_to_a_grant_is_done_in_one_tenant_alone(platform: Platform) -> None:
    staff(platform)
    ids = {slug: grant(platform, slug) for slug in SLUGS}
    browsers = {slug: enter(platform, slug) for slug in SLUGS}
    anna = platform.signed_in("acme")
    with untouched(platform, "globex"):
        for verb in ("decline", "revoke"):
            theirs = anna.post(f"/admin/support/{ids['globex']}/{verb}")
            nobodys = anna.post(f"/admin/support/{'9' * 32}/{verb}")
            assert theirs.status_code == nobodys.status_code == 404
            assert face(theirs) == face(nobodys)
        with platform.db("acme") as db:
            assert revoke(db, ids["acme"], user_id("anna"), OPERATOR_ORIGIN)
        assert browsers["acme"].get("/").status_code == 303
    assert browsers["globex"].get("/").status_code == 200


def test_nothing_that_support_reads_leaves_or_is_mailed_names_the_other_tenant(platform: Platform) -> None:
    staff(platform)
    for slug in SLUGS:
        grant(platform, slug)
    for slug, other in (SLUGS, SLUGS[::-1]):
        browser = enter(platform, slug)
        for page in PAGES:
            words = said(browser.get(page))
            assert slug.encode() in words
            assert other.encode() not in words, page
        seen = [entry for entry in events(platform, slug) if entry.actor == OLGA]
        assert [entry.details["path"] for entry in seen if entry.event == "support_viewed"] == list(PAGES)
        for mail in mails_of(platform, slug):
            assert other not in f"{mail.to} {mail.subject} {mail.text} {mail.html}".lower()
        with platform.db(slug, writing=False) as db:
            assert len(db.scalars(select(SupportGrant)).all()) == 1
