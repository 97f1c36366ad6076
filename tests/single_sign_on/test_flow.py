"""Signing in at the company's identity provider, there and back, with a provider that somebody else wrote."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from sqlalchemy import delete

from extranet.accounts.operations import find_user
from extranet.activity.changes import Change
from extranet.activity.operations import read_last
from extranet.models import Consent, Role, UserState
from extranet.security_log.events import Event
from tests.extranet.world import log_of, names, row_of
from tests.platform import Platform, user_id
from tests.single_sign_on.providers import Offline
from tests.single_sign_on.world import (
    AGREED,
    come_back,
    consents,
    identities,
    is_let_in,
    link,
    set_out,
    set_up,
    way_out,
)


def test_somebody_links_their_account_and_signs_in_with_it(platform: Platform, offline: Offline) -> None:
    set_up(platform, offline.issuer)
    offline.knows("ben-1", email="ben@elsewhere.example", preferred_username="ben.p")
    ben = platform.signed_in("acme", "ben")

    asked = ben.post("/sign-on/link")
    assert "I agree, continue" in asked.text
    assert consents(platform, "ben") == []

    url = set_out(ben, "/sign-on/link")
    sent = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
    assert sent["redirect_uri"] == "http://acme.localhost:8000/sign-on/answer"
    assert (sent["code_challenge_method"], sent["response_type"]) == ("S256", "code")
    told = log_of(platform)[-1]
    assert (told.event, told.actor, told.details["issuer"]) == (Event.SIGN_ON_CONSENTED, user_id("ben"), offline.issuer)

    before = ben.cookie("__Host-session")
    linked = come_back(ben, offline.vouches(url, "ben-1"))
    assert (linked.status_code, linked.headers["Location"]) == (303, "/preferences/security")
    assert ben.cookie("__Host-sign-on") == ""
    assert ben.cookie("__Host-session") != before
    assert is_let_in(ben)
    assert [subject for _user, subject in identities(platform)] == ["ben-1"]
    assert [consent.detail for consent in consents(platform, "ben")] == [offline.issuer]

    # Another browser, in which nobody agreed: asked first, and on record before anything leaves.
    other = platform.browser()
    assert "Continue with Acme ID" in other.get("/login?next=/preferences").text
    assert "I agree, continue" in other.post("/sign-on/start?next=/preferences").text
    answered = come_back(other, offline.vouches(set_out(other, "/sign-on/start?next=/preferences"), "ben-1"))
    assert (answered.status_code, answered.headers["Location"]) == (303, "/preferences")
    assert is_let_in(other)
    assert row_of(platform, "ben").last_sign_in_at is not None
    assert names(log_of(platform))[-3:] == [Event.SIGN_ON_CONSENTED, Event.NEW_BROWSER, Event.SIGNED_IN]
    assert log_of(platform)[-1].details["factors"] == ["sso"]
    assert "Signed in by way of the identity provider" in other.get("/preferences/history").text

    # This browser knows somebody who agreed.
    other.post("/logout")
    again = come_back(other, offline.vouches(way_out(other.post("/sign-on/start")), "ben-1"))
    assert again.status_code == 303


def test_an_answer_counts_once_and_in_the_browser_that_set_out(platform: Platform, offline: Offline) -> None:
    set_up(platform, offline.issuer)
    link(platform, offline.issuer, "ben-2")
    ben, thief = platform.browser(), platform.browser()
    back = offline.vouches(set_out(ben), "ben-2")
    set_out(thief)
    carried = ben.cookie("__Host-sign-on")

    stolen = come_back(thief, back)
    assert (stolen.status_code, "Code for your administrator: <code>state</code>" in stolen.text) == (403, True)
    assert come_back(platform.browser(), back).status_code == 403
    assert come_back(ben, back).status_code == 303
    ben.set_cookie("__Host-sign-on", carried)
    replayed = come_back(ben, back)
    assert (replayed.status_code, "<code>used</code>" in replayed.text) == (403, True)
    assert names(log_of(platform)).count(Event.SIGN_ON_REFUSED) == 3


def test_somebody_accepts_an_invitation_without_a_password(platform: Platform, offline: Offline) -> None:
    set_up(platform, offline.issuer, role_claim="groups", roles={"bosses": "manager", "staff": "member"})
    offline.knows("nina-1", email="whoever@elsewhere.example", groups=["staff", "bosses"])
    nina = platform.browser()
    path = platform.invite("acme", "nina")
    nina.get(path)
    assert "Continue with Acme ID" in nina.get("/invitation").text
    accepted = come_back(nina, offline.vouches(set_out(nina, "/sign-on/accept"), "nina-1"))
    assert (accepted.status_code, accepted.headers["Location"]) == (303, "/")
    assert is_let_in(nina)
    with platform.db("acme", writing=False) as db:
        user = find_user(db, "nina")
        assert (user.state, user.password, user.role) == (UserState.ACTIVE, b"", Role.MANAGER)
    assert Event.INVITATION_ACCEPTED in names(log_of(platform))
    assert platform.browser().get(path).status_code == 410

    assert "You have no password here yet." in nina.get("/preferences/security").text

    # A new proof is the provider's as well: there is no password to type.
    page = nina.get("/confirm?next=/preferences/email")
    assert 'name="password"' not in page.text
    url = way_out(nina.post("/sign-on/confirm?next=/preferences/email"))
    assert {"prompt=login", "max_age=0"} <= set(urlsplit(url).query.split("&"))
    confirmed = come_back(nina, offline.vouches(url, "nina-1"))
    assert (confirmed.status_code, confirmed.headers["Location"]) == (303, "/preferences/email")
    assert names(log_of(platform))[-1] == Event.IDENTITY_CONFIRMED


def test_a_newcomer_gets_an_account_only_where_the_company_wants_that(platform: Platform, offline: Offline) -> None:
    set_up(platform, offline.issuer)
    offline.knows(
        "zoe-1", email="Zoe@Acme.example", email_verified=True, name="Zoé van den Berg", preferred_username="BEN"
    )
    stranger = platform.browser()
    refused = come_back(stranger, offline.vouches(set_out(stranger), "zoe-1"))
    assert (refused.status_code, "<code>unknown</code>" in refused.text) == (403, True)

    set_up(platform, offline.issuer, creates_people=True, email_domains="globex.example")
    assert "<code>address_foreign</code>" in come_back(stranger, offline.vouches(set_out(stranger), "zoe-1")).text

    set_up(platform, offline.issuer, creates_people=True, email_domains="globex.example acme.example")
    assert come_back(stranger, offline.vouches(set_out(stranger), "zoe-1")).status_code == 303
    assert is_let_in(stranger)
    with platform.db("acme", writing=False) as db:
        zoe = find_user(db, "zoe@acme.example")
        assert (zoe.username, zoe.name, zoe.role) == ("ben2", "Zoé van den Berg", Role.MEMBER)
        assert [entry.event for entry in read_last(db, 2)] == [Change.USER_CREATED, Change.IDENTITY_LINKED]

    offline.knows("evil-1", email="ben@acme.example", email_verified=True)
    thief = platform.browser()
    taken = come_back(thief, offline.vouches(set_out(thief), "evil-1"))
    assert (taken.status_code, "<code>address_in_use</code>" in taken.text) == (403, True)
    offline.knows("evil-2", email="new@acme.example")
    assert "<code>address_unverified</code>" in come_back(thief, offline.vouches(set_out(thief), "evil-2")).text
    assert not is_let_in(thief)
    assert len(identities(platform)) == 1


def test_whoever_did_not_agree_themselves_is_asked_although_the_browser_knows_somebody_who_did(
    platform: Platform, offline: Offline
) -> None:
    set_up(platform, offline.issuer)
    link(platform, offline.issuer, "ben-3")
    shared = platform.browser()
    come_back(shared, offline.vouches(set_out(shared), "ben-3"))
    shared.post("/logout")
    link(platform, offline.issuer, "gus-3", "gus")
    with platform.db("acme") as db:
        db.execute(delete(Consent).where(Consent.user_id == user_id("gus")))
    asked = come_back(shared, offline.vouches(way_out(shared.post("/sign-on/start")), "gus-3"))
    assert (asked.status_code, "I agree, continue" in asked.text) == (200, True)
    assert not is_let_in(shared)
    assert (
        come_back(shared, offline.vouches(way_out(shared.post("/sign-on/start", AGREED)), "gus-3")).status_code == 303
    )
    assert len(consents(platform, "gus")) == 1
