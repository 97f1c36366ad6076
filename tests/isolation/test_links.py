"""A one-time link is good for one tenant and one purpose, and a mail for one tenant's person, whatever both share."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from extranet.accounts import new_addresses, recovery
from extranet.accounts.links import LIVES
from extranet.accounts.notices import stranger_link
from extranet.accounts.operations import find_user
from extranet.mail.kinds import MailKind
from extranet.models import LinkPurpose, OneTimeLink
from extranet.models.base import utc_now
from extranet.request.cookies import SESSION_COOKIE
from extranet.security_log.events import Event
from tests.browser import Browser
from tests.evidence import NewEvents, ask, face, post_form, untouched
from tests.platform import OPERATOR_ORIGIN, SLUGS, Platform, user_id
from tests.posted import mails_of

BEN = user_id("ben")
PAGES = ("/reset", "/stranger", "/email/confirm", "/email/undo")
CHOSEN = {"password": "nine copper kettles under the old bridge", "repeat": "nine copper kettles under the old bridge"}
NEVER = "A" * 43


def links_of(platform: Platform, slug: str) -> dict[str, str]:
    """Make one link of every purpose for ben and return their paths by page."""
    with platform.db(slug) as db:
        ben = find_user(db, "ben")
        recovery.start_reset(db, ben, BEN, OPERATOR_ORIGIN)
        new_addresses.ask_new_address(db, BEN, "ben@new.example", OPERATOR_ORIGIN)
        stranger = stranger_link(db, ben)
    kinds = (
        ("/reset", MailKind.RESET_BY_ADMIN),
        ("/email/confirm", MailKind.CONFIRM_EMAIL),
        ("/email/undo", MailKind.EMAIL_CHANGING),
    )
    return {"/stranger": stranger, **{page: mails_of(platform, slug, kind)[-1].path(page) for page, kind in kinds}}


def carrier(platform: Platform, slug: str, path: str) -> Browser:
    browser = platform.browser(slug)
    assert browser.get(path).status_code == 303
    return browser


def test_every_purpose_has_a_page_and_a_life() -> None:
    assert set(LIVES) == set(LinkPurpose)
    assert max(LIVES.values()) <= timedelta(days=7)


def test_a_link_opens_at_its_own_tenant_and_page_alone(platform: Platform) -> None:
    ours, theirs = links_of(platform, "acme"), links_of(platform, "globex")
    noted = NewEvents(platform, "acme")
    with untouched(platform, "globex"):
        for page in PAGES:
            refused = ask(platform, "acme", theirs[page])
            assert refused.status_code == 410
            assert face(refused) == face(ask(platform, "acme", f"{page}/{NEVER}"))
            assert "Set-Cookie" not in refused.headers
            for other in PAGES:
                token = ours[page].rpartition("/")[2]
                expected = 303 if other == page else 410
                assert ask(platform, "acme", f"{other}/{token}").status_code == expected, (page, other)
            assert ask(platform, "acme", f"/invitation/{token}").status_code == 410
    assert set(noted.take()) == {Event.LINK_REFUSED, Event.INVITATION_REFUSED}
    invitation = platform.invite("acme", "nina").rpartition("/")[2]
    for page in PAGES:
        assert ask(platform, "acme", f"{page}/{invitation}").status_code == 410


def test_the_cookie_that_carries_a_link_does_nothing_at_the_other_tenant(platform: Platform) -> None:
    ours, theirs = links_of(platform, "acme"), links_of(platform, "globex")
    for page in PAGES:
        foreign, visitor = carrier(platform, "globex", theirs[page]), carrier(platform, "acme", ours[page])
        form = {**CHOSEN, "csrf_token": foreign.token()}
        with untouched(platform, "globex"):
            cookie = f"{SESSION_COOKIE}={foreign.cookie(SESSION_COOKIE)}"
            assert ask(platform, "acme", page, cookie=cookie).status_code == 410
            assert post_form(platform, "acme", page, form, cookie=cookie).status_code == 403
            cookie = f"{SESSION_COOKIE}={visitor.cookie(SESSION_COOKIE)}"
            assert post_form(platform, "acme", page, form, cookie=cookie).status_code == 403


def test_a_link_copied_from_the_other_tenants_database_opens_nothing(platform: Platform) -> None:
    theirs = links_of(platform, "globex")
    links_of(platform, "acme")
    with platform.db("globex", writing=False) as db:
        copied = {row.purpose: row.token_mac for row in db.scalars(select(OneTimeLink))}
    with platform.db("acme") as db:
        for row in db.scalars(select(OneTimeLink)):
            row.token_mac = copied[row.purpose]
    for path in theirs.values():
        assert ask(platform, "acme", path).status_code == 410
        assert ask(platform, "globex", path).status_code == 303


@pytest.mark.parametrize("page", PAGES)
def test_using_one_leaves_the_other_tenant_as_it_was(platform: Platform, page: str) -> None:
    ours, theirs = links_of(platform, "acme"), links_of(platform, "globex")
    browser = carrier(platform, "acme", ours[page])
    with untouched(platform, "globex"):
        assert browser.post(page, CHOSEN).status_code == 303
    assert ask(platform, "acme", ours[page]).status_code == 410
    assert ask(platform, "globex", theirs[page]).status_code == 303


def test_every_mail_names_its_own_tenant_and_no_other(platform: Platform) -> None:
    for slug in SLUGS:
        links_of(platform, slug)
        platform.signed_in(slug, "ben")
        platform.signed_in(slug, "ben")
        assert platform.browser(slug).post("/forgotten", {"username": "ben"}).status_code == 303
    for slug, other in (SLUGS, SLUGS[::-1]):
        mails = mails_of(platform, slug)
        assert {mail.kind for mail in mails} >= {MailKind.RESET, MailKind.NEW_BROWSER, MailKind.CONFIRM_EMAIL}
        for mail in mails:
            assert other not in f"{mail.to} {mail.subject} {mail.text} {mail.html}".lower(), mail.kind
            assert f"{slug}.localhost" in mail.text


def test_a_link_says_nothing_in_the_database(platform: Platform) -> None:
    paths = links_of(platform, "acme")
    with platform.db("acme", writing=False) as db:
        rows = db.scalars(select(OneTimeLink)).all()
        assert len(rows) == 4
        for row in rows:
            stored = b" ".join((row.token_mac, row.detail))
            assert b"example" not in stored
            assert all(path.rpartition("/")[2].encode() not in stored for path in paths.values())
            assert row.expires_at > utc_now()
