"""Who comes in by way of the provider, with what, as what, and how they undo it."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import select, update

from extranet.accounts import operations
from extranet.accounts.links import find_link, token_bytes
from extranet.accounts.recovery import report_stranger_by_link
from extranet.accounts.restored import begin_anew
from extranet.errors import Invalid, NotFound
from extranet.mail.kinds import MailKind
from extranet.models import Company, LinkPurpose, Login, Role, User, UserState
from extranet.security_log.events import Event
from extranet.security_log.origin import OPERATOR
from extranet.single_sign_on import limits
from extranet.single_sign_on.consents import TEXT_VERSION
from extranet.single_sign_on.protocol import Vouched
from extranet.single_sign_on.unlinking import unlink
from tests.browser import Browser
from tests.extranet.factors import mails_to, second_step, set_up_app
from tests.extranet.world import disable, log_of, names, row_of
from tests.platform import OPERATOR_ORIGIN, Platform, user_id
from tests.posted import mails_of
from tests.single_sign_on.providers import Liar
from tests.single_sign_on.world import come_back, consents, identities, is_let_in, link, set_out, set_up, way_out


def signed_on(platform: Platform, liar: Liar, username: str = "ben") -> Browser:
    """Return a browser in which somebody has come in by way of the provider."""
    browser = platform.browser()
    liar.claims["sub"] = f"{username}-1"
    answer = come_back(browser, liar.vouches(set_out(browser)))
    assert answer.status_code == 303, answer.text
    return browser


def without_password(platform: Platform, username: str = "ben") -> None:
    with platform.db("acme") as db:
        db.execute(update(User).where(User.id == user_id(username)).values(password=b"", must_change_password=False))


def test_a_second_factor_of_ours_is_asked_for_unless_the_provider_asks_for_one(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "ben-1")
    held = set_up_app(platform.signed_in("acme", "ben"))
    without_password(platform)
    ben = signed_on(platform, liar)
    assert not is_let_in(ben)
    assert "now show here too" in ben.get("/login/second-step").text
    assert second_step(ben, recovery=held.codes[0]).status_code == 303
    assert log_of(platform)[-1].details["factors"] == ["sso", "recovery"]
    # A factor of ours is what proves them anew, and the provider's word alone is not.
    assert "Continue with Acme ID" not in ben.get("/confirm?next=/x").text
    with platform.db("acme") as db:
        db.execute(update(Login).values(proved_at=None))
    refused = come_back(ben, liar.vouches(way_out(ben.post("/sign-on/confirm"))))
    assert "<code>not_fresh</code>" in refused.text
    liar.claims["auth_time"] = int(time.time())
    refused = come_back(ben, liar.vouches(way_out(ben.post("/sign-on/confirm"))))
    assert "<code>provider_changed</code>" in refused.text

    set_up(platform, liar.issuer, proves_second_factor=True)
    assert is_let_in(signed_on(platform, liar))
    assert log_of(platform)[-1].details["factors"] == ["sso", "provider"]
    assert "Continue with Acme ID" in ben.get("/confirm").text
    proved = come_back(ben, liar.vouches(way_out(ben.post("/sign-on/confirm?next=/preferences"))))
    assert proved.headers["Location"] == "/preferences"
    liar.claims["auth_time"] = int(time.time()) - 120
    assert "<code>not_fresh</code>" in come_back(ben, liar.vouches(way_out(ben.post("/sign-on/confirm")))).text
    liar.claims |= {"auth_time": int(time.time()), "sub": "anna-1"}
    assert "<code>other_account</code>" in come_back(ben, liar.vouches(way_out(ben.post("/sign-on/confirm")))).text


def test_whom_the_provider_asked_for_a_second_factor_need_not_set_one_up_here(platform: Platform, liar: Liar) -> None:
    with platform.db("acme") as db:
        db.execute(update(Company).values(second_factor="everybody"))
    link(platform, liar.issuer, "ben-1")
    set_up(platform, liar.issuer)
    assert signed_on(platform, liar).get("/").status_code == 303
    set_up(platform, liar.issuer, proves_second_factor=True)
    assert signed_on(platform, liar).get("/").status_code == 200
    # By their password nobody has asked them for more.
    assert platform.signed_in("acme", "ben").get("/").status_code == 303


def test_roles_follow_the_provider_but_the_last_administrator_stays_one(platform: Platform, liar: Liar) -> None:
    roles = {"bosses": "admin", "staff": "member", "visitors": "guest", "odd": "emperor", "chiefs": "manager"}
    set_up(platform, liar.issuer, role_claim="realm_access.roles", roles=roles)
    link(platform, liar.issuer, "ben-1")
    link(platform, liar.issuer, "anna-1", "anna")
    for said, role in (
        (["visitors", "staff", 7], Role.MEMBER),
        ("visitors", Role.GUEST),
        (["odd"], Role.GUEST),
        (None, Role.GUEST),
        (["staff"], Role.MEMBER),
        (["chiefs"], Role.MANAGER),
        ([], Role.MEMBER),
    ):
        liar.claims["realm_access"] = {"roles": said}
        signed_on(platform, liar)
        assert row_of(platform, "ben").role == role
    assert names(log_of(platform)).count(Event.ROLE_CHANGED) == 4
    assert MailKind.ROLE_CHANGED in mails_to(platform)
    assert "The identity provider has changed your role" in mails_of(platform, "acme", MailKind.ROLE_CHANGED)[0].text

    liar.claims["realm_access"] = {"roles": ["staff"]}
    assert is_let_in(signed_on(platform, liar, "anna"))
    assert row_of(platform, "anna").role == Role.ADMIN
    assert Event.SIGN_ON_ROLE_KEPT in names(log_of(platform))
    liar.claims["realm_access"] = {"roles": ["bosses"]}
    assert signed_on(platform, liar).get("/admin/people").status_code == 200


def test_a_closed_account_stays_closed_and_opens_again_without_a_password(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "ben-1")
    without_password(platform)
    disable(platform, "ben")
    visitor = platform.browser()
    liar.claims["sub"] = "ben-1"
    refused = come_back(visitor, liar.vouches(set_out(visitor)))
    assert (refused.status_code, "<code>closed</code>" in refused.text) == (403, True)
    assert (log_of(platform)[-1].subject, log_of(platform)[-1].event) == (user_id("ben"), Event.SIGN_ON_REFUSED)
    with platform.db("acme") as db:
        operations.enable_user(db, db.get_one(User, user_id("ben")), OPERATOR_ORIGIN, OPERATOR)
    assert row_of(platform, "ben").state == UserState.ACTIVE
    assert is_let_in(signed_on(platform, liar))


def test_reporting_a_stranger_shuts_the_account_to_the_provider_too(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    ben = platform.signed_in("acme", "ben")
    come_back(ben, liar.vouches(set_out(ben, "/sign-on/link")))
    assert [subject for _user, subject in identities(platform)] == ["liar-1"]
    mail = mails_of(platform, "acme", MailKind.IDENTITY_LINKED)[-1]
    assert "Acme ID" in mail.text
    token = token_bytes(mail.path("/stranger").rpartition("/")[2])
    with platform.db("acme") as db:
        assert find_link(db, LinkPurpose.REPORT_STRANGER, token).user_id == user_id("ben")
        report_stranger_by_link(db, token, OPERATOR_ORIGIN)
    assert identities(platform) == []
    assert not is_let_in(ben)
    link(platform, liar.issuer, "liar-2")
    liar.claims["sub"] = "liar-2"
    assert "<code>closed</code>" in come_back(ben, liar.vouches(set_out(ben))).text


def test_reporting_one_from_within_forgets_a_link_that_may_be_theirs_but_never_the_only_way_in(
    platform: Platform, liar: Liar
) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "liar-1")
    ben = platform.signed_in("acme", "ben")
    ben.post("/preferences/history/not-me")
    assert identities(platform) == []
    assert [consent.withdrawn_at is None for consent in consents(platform, "ben")] == [False]
    link(platform, liar.issuer, "gus-1", "gus")
    without_password(platform, "gus")
    gus = signed_on(platform, liar, "gus")
    gus.post("/preferences/history/not-me")
    assert [subject for _user, subject in identities(platform)] == ["gus-1"]


def test_who_was_signed_in_at_the_provider_before_is_let_in_and_asked_again_before_what_is_sensitive(
    platform: Platform, liar: Liar
) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "anna-1", "anna")
    for auth_time, is_fresh in (
        (None, False),
        (time.time() - 8 * 3600, False),
        (float("nan"), False),
        (float("inf"), False),
        (time.time() + 3600, False),
        (time.time(), True),
    ):
        liar.claims["auth_time"] = auth_time
        anna = signed_on(platform, liar, "anna")
        assert is_let_in(anna)
        assert (anna.get("/admin/single-sign-on").status_code == 200) is is_fresh, auth_time


def test_linking_wants_a_fresh_proof_a_free_subject_and_the_same_session(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "gus-1", "gus")
    ben = platform.signed_in("acme", "ben")
    with platform.db("acme") as db:
        db.execute(update(Login).values(proved_at=None))
    assert ben.post("/sign-on/link").headers["Location"].startswith("/confirm?")
    assert liar.asked == []
    ben.sign_in("ben", "correct horse battery staple")
    liar.claims["sub"] = "gus-1"
    assert "<code>taken</code>" in come_back(ben, liar.vouches(set_out(ben, "/sign-on/link"))).text
    back = liar.vouches(set_out(ben, "/sign-on/link"))
    ben.sign_in("gus", "correct horse battery staple")
    assert "<code>other_session</code>" in come_back(ben, back).text
    back = liar.vouches(set_out(ben, "/sign-on/link"))
    assert "<code>linked_already</code>" in come_back(ben, back).text
    back = liar.vouches(set_out(ben, "/sign-on/link"))
    ben.post("/logout")
    assert "<code>other_session</code>" in come_back(ben, back).text
    assert len(identities(platform)) == 1
    assert "<code>invitation</code>" in ben.post("/sign-on/accept").text


def test_an_invitation_that_ends_on_the_way_opens_nothing(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    nina = platform.browser()
    nina.get(platform.invite("acme", "nina"))
    back = liar.vouches(set_out(nina, "/sign-on/accept"))
    with platform.db("acme") as db:
        operations.invite(db, operations.find_user(db, "nina"), OPERATOR_ORIGIN, OPERATOR)
    assert "<code>invitation</code>" in come_back(nina, back).text
    back = liar.vouches(set_out(nina, "/sign-on/accept"))
    nina.post("/logout")
    assert "<code>other_session</code>" in come_back(nina, back).text
    assert identities(platform) == []


def test_unlinking_takes_the_consent_back_and_leaves_a_way_in(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "ben-1")
    with platform.db("acme") as db:
        assert unlink(db, user_id("ben"), OPERATOR_ORIGIN)
    assert [consent.withdrawn_at is not None for consent in consents(platform, "ben")] == [True]
    visitor = platform.browser()
    liar.claims["sub"] = "ben-1"
    assert "<code>unknown</code>" in come_back(visitor, liar.vouches(set_out(visitor))).text

    link(platform, liar.issuer, "ben-1")
    without_password(platform)
    with platform.db("acme") as db, pytest.raises(Invalid):
        unlink(db, user_id("ben"), OPERATOR_ORIGIN)
    # Whoever has no password chooses one by a link, and then may.
    platform.browser().post("/forgotten", {"username": "ben"})
    assert MailKind.RESET in mails_to(platform)


def test_after_a_restore_everybody_is_asked_again(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "ben-1")
    ben = signed_on(platform, liar)
    with platform.db("acme") as db:
        begin_anew(db, OPERATOR_ORIGIN, OPERATOR, {})
        assert db.scalars(select(Login).where(Login.ended_at.is_(None))).all() == []
    assert "I agree, continue" in ben.post("/sign-on/start").text
    ben = signed_on(platform, liar)
    with platform.db("acme") as db:
        begin_anew(db, OPERATOR_ORIGIN, OPERATOR, {})
        db.execute(update(Login).values(ended_at=None, proved_at=None))
    liar.claims["auth_time"] = int(time.time()) + 5
    assert "I agree, continue" in ben.post("/sign-on/confirm").text
    assert come_back(ben, liar.vouches(set_out(ben, "/sign-on/confirm"))).status_code == 303
    assert [consent.withdrawn_at is None for consent in consents(platform, "ben")].count(True) == 1


def test_whatever_the_provider_calls_a_newcomer_becomes_a_name_that_fits(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer, creates_people=True)
    for number, (said, username, name) in enumerate(
        (
            (
                {"preferred_username": "Zoé.Zee@acme.example", "given_name": "Zoé", "family_name": "Zee"},
                "zoe.zee",
                "Zoé Zee",
            ),
            ({"preferred_username": "!!", "name": "Cher"}, "new1", "Cher -"),
            ({"preferred_username": 7, "name": "x" * 300}, "new2", f"{'x' * 100} -"),
            ({"preferred_username": "anna", "name": "\u202eEvil\n Name"}, "anna2", "Evil Name"),
            ({"preferred_username": "a" * 80}, "a" * 64, "new4 -"),
            ({"preferred_username": "a" * 80}, "a" * 60 + "2", "new5 -"),
        )
    ):
        liar.be_honest()
        liar.claims = {"sub": f"new-{number}", "email": f"new{number}@acme.example", "email_verified": "true", **said}
        browser = platform.browser()
        assert come_back(browser, liar.vouches(set_out(browser))).status_code == 303
        with platform.db("acme", writing=False) as db:
            made = operations.find_user(db, f"new{number}@acme.example")
            assert (made.username, made.name) == (username, name)
    for email in ("no address", "x@"):
        liar.claims = {"sub": "new-x", "email": email, "email_verified": True}
        refused = come_back(browser, liar.vouches(set_out(browser)))
        assert "<code>address_unverified</code>" in refused.text


def test_a_newcomer_at_somebody_s_browser_is_asked_before_an_account_is_made(platform: Platform, liar: Liar) -> None:
    set_up(platform, liar.issuer, creates_people=True)
    link(platform, liar.issuer, "ben-1")
    shared = signed_on(platform, liar)
    shared.post("/logout")
    liar.claims |= {"sub": "zoe-1", "email": "zoe@acme.example"}
    asked = come_back(shared, liar.vouches(way_out(shared.post("/sign-on/start"))))
    assert "I agree, continue" in asked.text
    with platform.db("acme", writing=False) as db, pytest.raises(NotFound):
        operations.find_user(db, "zoe@acme.example")


def test_setting_out_is_bounded(platform: Platform, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_OF_ADDRESS", 2)
    set_up(platform, liar.issuer)
    visitor = platform.browser()
    pages = [visitor.post("/sign-on/start", {"agreed": TEXT_VERSION}) for _number in range(3)]
    assert [page.status_code for page in pages] == [200, 200, 429]
    assert pages[2].headers["Retry-After"]
    assert names(log_of(platform)).count(Event.SIGN_ON_CONSENTED) == 2


def test_an_address_counts_as_it_was_verified_to_the_letter_or_not_at_all() -> None:
    for sent, counts in (
        ("Ben@acme.example", "ben@acme.example"),
        ("ben\u200b@acme.example", ""),
        ("ben@acme.ex\u00adample", ""),
        (" ben@acme.example", ""),
        (["ben@acme.example"], ""),
        (None, ""),
    ):
        vouched = Vouched("https://id.example", "ben-1", {"email": sent, "email_verified": True})
        assert (vouched.email, vouched.has_verified_email) == (counts, bool(counts)), sent


def test_what_a_browser_s_owner_agreed_to_is_not_agreed_to_by_whom_is_invited_there(
    platform: Platform, liar: Liar
) -> None:
    set_up(platform, liar.issuer)
    link(platform, liar.issuer, "ben-1")
    shared = signed_on(platform, liar)
    shared.post("/logout")
    shared.get(platform.invite("acme", "nina"))
    asked = len(liar.asked)
    assert "I agree, continue" in shared.post("/sign-on/accept").text
    assert len(liar.asked) == asked
