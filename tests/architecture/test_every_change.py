"""Every change leaves exactly one entry in the activity log, or stands in a list here with the reason why not."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from extranet.activity.changes import Change
from extranet.activity.operations import activity_journal
from extranet.activity.words import SENTENCES
from extranet.mail.kinds import MailKind
from extranet.models import KnownBrowser, Passkey, Role, activity_table
from tenants.journal import Entry
from tests.browser import Browser
from tests.extranet import sign_on_page
from tests.extranet.factors import add_passkey, set_up_app, setup_on, token_on
from tests.extranet.factors import key_on as app_key_on
from tests.extranet.support import ask, enter, grant, link, staff
from tests.extranet.world import COMPANY, DISPLAY, NEW_PASSWORD, PROFILE, add_person, disable, value_of
from tests.front_door.screen import png
from tests.platform import BOTH, PASSWORD, Platform, user_id
from tests.posted import mails_of

BEN = user_id("ben")
PERSON = f"/admin/people/{BEN}"
SECURITY = "/preferences/security"
CHOSEN = {"password": NEW_PASSWORD, "repeat": NEW_PASSWORD}

Act = Callable[[], Any]

NO_CHANGE = {
    "accounts.sign_in_now": "Signing in is no change; it is in the security log.",
    "accounts.logout": "Signing out is no change; it is in the security log.",
    "confirmation.confirm": "Proving who one is changes nothing that is kept.",
    "confirmation.confirm_by_passkey": "Proving who one is changes nothing that is kept.",
    "factors.sign_in_by_passkey": "Signing in.",
    "factors.take_second_step": "Signing in.",
    "factors.take_second_step_by_passkey": "Signing in.",
    "logs.read_notice": "Reading is no change; it is in the security log.",
    "logs.investigate": "Looking is no change; it is in the security log, with the reason.",
    "preferences.cancel_email": "Nothing had changed yet.",
    "preferences.change_email": "Only asked for; the change is noted when it is confirmed.",
    "preferences.download_codes": "A file of the codes that are on the page.",
    "single_sign_on.accept": "Only set out for the provider; accepting is noted when the browser comes back.",
    "single_sign_on.confirm": "Proving who one is changes nothing that is kept.",
    "single_sign_on.link": "Only set out for the provider; the link is noted when the browser comes back.",
    "single_sign_on.start": "Signing in is no change; what somebody agreed to is in the security log.",
    "strength.measure": "Says how strong a password is, and keeps nothing.",
    "recovery.ask_reset": "Only a mail; the new password is noted when it is chosen.",
    "admin.start_password_reset": "Only a mail; the new password is noted when it is chosen.",
    "admin.upload_import": "Only looked at; people are noted when the import is confirmed.",
    "admin.discard_import": "Nothing had changed yet.",
    "admin.withdraw_factor_reset": "Nothing had changed yet.",
    "admin.try_single_sign_on": "Asks the identity provider what it is, and keeps nothing.",
}
"""Routes that take a POST and change nothing that anybody would ask about later, and why."""


def own(path: str, form: dict[str, Any] | None = None) -> Callable[[Platform], Act]:
    """One form, sent by an administrator."""

    def prepare(platform: Platform) -> Act:
        anna = platform.signed_in()
        return lambda: anna.post(path, form or {})

    return prepare


def picture(path: str, field: str) -> Callable[[Platform], Act]:
    def prepare(platform: Platform) -> Act:
        anna = platform.signed_in()
        return lambda: anna.post(path, {field: (io.BytesIO(png()), "x.png")})

    return prepare


def without_picture(path: str, field: str) -> Callable[[Platform], Act]:
    def prepare(platform: Platform) -> Act:
        anna = platform.signed_in()
        anna.post(path, {field: (io.BytesIO(png()), "x.png")})
        return lambda: anna.post(f"{path}/remove")

    return prepare


def seen(page_path: str, form: dict[str, Any], path: str = "") -> Callable[[Platform], Act]:
    """A form that says what it was filled in with."""

    def prepare(platform: Platform) -> Act:
        anna = platform.signed_in()
        filled = {**form, "seen": value_of(anna.get(page_path).text, "seen")}
        return lambda: anna.post(path or page_path, filled)

    return prepare


def accepted_invitation(platform: Platform) -> Act:
    path, nina = platform.invite("acme", "nina"), platform.browser()
    nina.get(path)
    return lambda: nina.post("/invitation", CHOSEN)


def own_browser(platform: Platform, verb: str, form: dict[str, str]) -> Act:
    anna = platform.signed_in()
    with platform.db("acme", writing=False) as db:
        browser_id = db.scalars(select(KnownBrowser.id).where(KnownBrowser.user_id == user_id("anna"))).one()
    return lambda: anna.post(f"/preferences/browsers/{browser_id}/{verb}", form)


def ended_login(platform: Platform) -> Act:
    anna = platform.signed_in()
    platform.signed_in()
    ids = re.findall(r"/preferences/sessions/([0-9a-f]{32})/end", anna.get("/preferences/sessions").text)
    return lambda: anna.post(f"/preferences/sessions/{ids[-1]}/end")


def ended_others(platform: Platform) -> Act:
    anna = platform.signed_in()
    platform.signed_in()
    return lambda: anna.post("/preferences/sessions/end-others")


def followed(platform: Platform, kind: MailKind, page: str) -> Act:
    ben = platform.signed_in("acme", "ben")
    assert ben.post("/preferences/email", {"email": "ben@elsewhere.example"}).status_code == 303
    visitor = platform.browser()
    visitor.get(mails_of(platform, "acme", kind)[-1].path(page))
    return lambda: visitor.post(page)


def undone(platform: Platform) -> Act:
    followed(platform, MailKind.CONFIRM_EMAIL, "/email/confirm")()
    visitor = platform.browser()
    kinds = (MailKind.EMAIL_CHANGED, MailKind.EMAIL_CHANGING)
    sent = [mail for kind in kinds for mail in mails_of(platform, "acme", kind)]
    visitor.get(next(mail for mail in sent if "/email/undo" in mail.text).path("/email/undo"))
    return lambda: visitor.post("/email/undo")


def reset(platform: Platform) -> Act:
    platform.browser().post("/forgotten", {"username": "ben"})
    visitor = platform.browser()
    visitor.get(mails_of(platform, "acme", MailKind.RESET)[-1].path("/reset"))
    return lambda: visitor.post("/reset", CHOSEN)


def reported(platform: Platform) -> Act:
    platform.signed_in("acme", "ben")
    platform.signed_in("acme", "ben")
    visitor = platform.browser()
    visitor.get(mails_of(platform, "acme", MailKind.NEW_BROWSER)[-1].path("/stranger"))
    return lambda: visitor.post("/stranger")


def added_app(platform: Platform) -> Act:
    ben = platform.signed_in("acme", "ben")
    page = ben.get(f"{SECURITY}/app")
    from tests.extranet.factors import Equipped

    data = {"setup": setup_on(page), "code": Equipped(app_key_on(page)).code()}
    return lambda: ben.post(f"{SECURITY}/app", data, token=token_on(page))


def removed_app(platform: Platform) -> Act:
    ben = platform.signed_in("acme", "ben")
    set_up_app(ben)
    return lambda: ben.post(f"{SECURITY}/app/remove")


def added_passkey(platform: Platform) -> Act:
    ben = platform.signed_in("acme", "ben")
    return lambda: add_passkey(ben)


def own_passkey(platform: Platform, verb: str, form: dict[str, str]) -> Act:
    ben = platform.signed_in("acme", "ben")
    add_passkey(ben)
    with platform.db("acme", writing=False) as db:
        passkey_id = db.scalars(select(Passkey.id)).one()
    return lambda: ben.post(f"{SECURITY}/passkeys/{passkey_id}/{verb}", form)


def renewed_codes(platform: Platform) -> Act:
    ben = platform.signed_in("acme", "ben")
    set_up_app(ben)
    return lambda: ben.post(f"{SECURITY}/recovery-codes")


def with_factors(platform: Platform, *, approved: bool) -> Act:
    set_up_app(platform.signed_in("acme", "ben"))
    anna = platform.signed_in()
    if not approved:
        return lambda: anna.post(f"{PERSON}/factors/reset")
    add_person(platform, "olga", Role.ADMIN)
    olga = platform.signed_in("acme", "olga")
    assert olga.post(f"{PERSON}/factors/reset").status_code == 303
    return lambda: anna.post(f"{PERSON}/factors/approve")


def invited(platform: Platform, verb: str) -> Act:
    platform.invite("acme", "nina")
    anna = platform.signed_in()
    found = re.search(rf"/admin/invitations/([0-9a-f]+)/{verb}", anna.get("/admin/invitations").text)
    assert found
    return lambda: anna.post(found[0])


def astray(platform: Platform) -> Act:
    platform.invite("acme", "nina")
    anna = platform.signed_in()
    found = re.search(r"/admin/invitations/([0-9a-f]+)/revoke", anna.get("/admin/invitations").text)
    assert found
    return lambda: anna.post(f"/admin/people/{found[1]}/address", {"email": "nina@people.example"})


def disabled_person(platform: Platform) -> Act:
    disable(platform, "ben")
    anna = platform.signed_in()
    return lambda: anna.post(f"{PERSON}/reactivate")


def signed_out_person(platform: Platform) -> Act:
    platform.signed_in("acme", "ben")
    anna = platform.signed_in()
    return lambda: anna.post(f"{PERSON}/sign-out")


def imported(platform: Platform) -> Act:
    anna = platform.signed_in()
    sheet = "first name,last name,email,username,role\nNina,New,nina@acme.example,nina,member\n"
    sent = anna.post("/admin/import", {"people": (io.BytesIO(sheet.encode()), "people.csv")})
    assert sent.status_code == 303, sent.text
    page = anna.get("/admin/import").text
    return lambda: anna.post("/admin/import/confirm", {"file": value_of(page, "file")})


def turned_on(platform: Platform) -> Act:
    anna = platform.signed_in()

    def act() -> Any:
        with sign_on_page.provider_for(platform) as server:
            sign_on_page.set_up(platform, issuer=server.issuer, is_enabled=False)
            return anna.post("/admin/single-sign-on/on")

    return act


def with_link(path: str, person: str = "anna") -> Callable[[Platform], Act]:
    """Send a form where there is a provider, and ben is linked."""

    def prepare(platform: Platform) -> Act:
        sign_on_page.set_up(platform)
        sign_on_page.link(platform, "ben")
        browser = platform.signed_in("acme", person)
        return lambda: browser.post(path)

    return prepare


def support(platform: Platform, verb: str) -> Act:
    staff(platform)
    grant_id = grant(platform) if verb == "revoke" else ask(platform)
    anna = platform.signed_in()
    return lambda: anna.post(f"/admin/support/{grant_id}/{verb}", {f"{grant_id}-hours": "2"})


def support_enters(platform: Platform) -> Act:
    staff(platform)
    grant(platform)
    visitor = platform.browser()
    visitor.get(link(platform))
    return lambda: visitor.post("/support")


def support_leaves(platform: Platform) -> Act:
    staff(platform)
    grant(platform)
    visitor = enter(platform)
    return lambda: visitor.post("/support/leave")


CHANGES: dict[str, tuple[Callable[[Platform], Act], list[Change]]] = {
    "accounts.accept_invitation": (accepted_invitation, [Change.INVITATION_ACCEPTED]),
    "admin.approve_factor_reset": (lambda platform: with_factors(platform, approved=True), [Change.FACTORS_RESET]),
    "admin.ask_factor_reset": (lambda platform: with_factors(platform, approved=False), [Change.FACTORS_RESET]),
    "admin.change_logo": (picture("/admin/look/logo", "logo"), [Change.BRANDING_CHANGED]),
    "admin.change_role": (own(f"{PERSON}/role", {"role": "manager"}), [Change.ROLE_CHANGED]),
    "admin.change_username": (own(f"{PERSON}/username", {"username": "benny"}), [Change.USERNAME_CHANGED]),
    "admin.confirm_import": (imported, [Change.USER_CREATED, Change.USER_INVITED, Change.USERS_IMPORTED]),
    "admin.correct_address": (astray, [Change.EMAIL_CHANGED, Change.USER_INVITED]),
    "admin.deactivate": (own(f"{PERSON}/deactivate"), [Change.USER_DISABLED]),
    "admin.invite": (
        own("/admin/invitations", {"first_name": "N", "last_name": "W", "email": "n@acme.example", "role": "member"}),
        # A new account, and a link that was mailed: each can be asked about.
        [Change.USER_CREATED, Change.USER_INVITED],
    ),
    "admin.reactivate": (disabled_person, [Change.USER_ENABLED]),
    "admin.remove_logo": (without_picture("/admin/look/logo", "logo"), [Change.BRANDING_CHANGED]),
    "admin.resend_invitation": (lambda platform: invited(platform, "resend"), [Change.USER_INVITED]),
    "admin.revoke_invitation": (lambda platform: invited(platform, "revoke"), [Change.INVITATION_REVOKED]),
    "admin.save_look": (seen("/admin/look", {"accent_hue": "120", "welcome": "Hello"}), [Change.BRANDING_CHANGED]),
    "admin.save_policy": (
        seen(
            "/admin/policy",
            {"second_factor": "optional", "shortest_password": "14", "idle_minutes": "30", "log_days": "365"},
        ),
        [Change.POLICY_CHANGED],
    ),
    "admin.save_single_sign_on": (
        seen("/admin/single-sign-on", sign_on_page.SETTINGS),
        [Change.IDENTITY_PROVIDER_CHANGED],
    ),
    "admin.remove_single_sign_on": (
        with_link("/admin/single-sign-on/remove"),
        [Change.IDENTITY_PROVIDER_CHANGED],
    ),
    "admin.turn_off_single_sign_on": (with_link("/admin/single-sign-on/off"), [Change.IDENTITY_PROVIDER_CHANGED]),
    "admin.turn_on_single_sign_on": (turned_on, [Change.IDENTITY_PROVIDER_CHANGED]),
    "admin.unlink_person": (with_link(f"{PERSON}/unlink"), [Change.IDENTITY_UNLINKED]),
    "admin.sign_out_person": (signed_out_person, [Change.LOGIN_ENDED]),
    "admin.unlock": (own(f"{PERSON}/unlock"), [Change.USER_UNLOCKED]),
    "preferences.add_app": (added_app, [Change.FACTOR_ADDED, Change.RECOVERY_CODES_MADE]),
    "preferences.add_passkey": (added_passkey, [Change.FACTOR_ADDED, Change.RECOVERY_CODES_MADE]),
    "preferences.change_avatar": (picture("/preferences/profile/picture", "avatar"), [Change.PICTURE_CHANGED]),
    "preferences.change_browser_mail": (own("/preferences/sessions/browser-mail"), [Change.DISPLAY_CHANGED]),
    "preferences.change_company": (own("/preferences/company", COMPANY), [Change.COMPANY_CHANGED]),
    "preferences.change_display": (
        own("/preferences/display", {**DISPLAY, "theme": "dark"}),
        [Change.DISPLAY_CHANGED],
    ),
    "preferences.change_password": (
        own(SECURITY, {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}),
        [Change.PASSWORD_CHANGED],
    ),
    "preferences.change_profile": (
        own("/preferences/profile", {**PROFILE, "city": "Gent"}),
        [Change.PROFILE_CHANGED],
    ),
    "preferences.end_login": (ended_login, [Change.LOGIN_ENDED]),
    "preferences.end_other_logins": (ended_others, [Change.LOGIN_ENDED]),
    "preferences.forget_browser": (
        lambda platform: own_browser(platform, "forget", {}),
        [Change.BROWSER_FORGOTTEN],
    ),
    "preferences.remove_app": (removed_app, [Change.FACTOR_REMOVED]),
    "preferences.remove_avatar": (
        without_picture("/preferences/profile/picture", "avatar"),
        [Change.PICTURE_CHANGED],
    ),
    "preferences.remove_passkey": (lambda platform: own_passkey(platform, "remove", {}), [Change.FACTOR_REMOVED]),
    "preferences.rename_browser": (
        lambda platform: own_browser(platform, "rename", {"name": "At the office"}),
        [Change.BROWSER_RENAMED],
    ),
    "preferences.rename_passkey": (
        lambda platform: own_passkey(platform, "rename", {"name": "Key"}),
        [Change.FACTOR_RENAMED],
    ),
    "preferences.renew_codes": (renewed_codes, [Change.RECOVERY_CODES_MADE]),
    "preferences.report_stranger": (own("/preferences/history/not-me"), [Change.STRANGER_REPORTED]),
    "preferences.unlink_sign_on": (with_link(f"{SECURITY}/sign-on/unlink", "ben"), [Change.IDENTITY_UNLINKED]),
    "recovery.confirm_now": (
        lambda platform: followed(platform, MailKind.CONFIRM_EMAIL, "/email/confirm"),
        [Change.EMAIL_CHANGED],
    ),
    "recovery.report_now": (reported, [Change.STRANGER_REPORTED]),
    "recovery.reset_now": (reset, [Change.PASSWORD_CHANGED]),
    "recovery.undo_now": (undone, [Change.EMAIL_CHANGED]),
    "support.allow": (lambda platform: support(platform, "grant"), [Change.SUPPORT_GRANTED]),
    "support.decline": (lambda platform: support(platform, "decline"), [Change.SUPPORT_DECLINED]),
    "support.enter_now": (support_enters, [Change.SUPPORT_ENTERED]),
    "support.leave": (support_leaves, [Change.SUPPORT_LEFT]),
    "support.revoke": (lambda platform: support(platform, "revoke"), [Change.SUPPORT_ENDED]),
}
"""By route: what gets ready and returns the one request that changes something, and the entries that leaves."""


def mutating(platform: Platform) -> set[str]:
    return {
        rule.endpoint
        for rule in platform.app.url_map.iter_rules()
        if (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }


def activity_of(platform: Platform, slug: str = "acme") -> list[Entry]:
    with platform.db(slug, writing=False) as db:
        rows = db.execute(select(activity_table).order_by(activity_table.c.sequence)).all()
        return list(activity_journal(db.info["keys"]).read(iter(rows)))


def test_every_route_that_takes_a_post_is_listed(platform: Platform) -> None:
    unknown = mutating(platform) - set(CHANGES) - set(NO_CHANGE)
    assert not unknown, (
        f"{sorted(unknown)}: call note_change() in the operation, before record(), and add the route to CHANGES here "
        "with a way to call it and the change it notes; or to NO_CHANGE, with the reason why it changes nothing."
    )
    assert not (set(CHANGES) | set(NO_CHANGE)) - mutating(platform), "These routes are gone: take them out here too."
    assert not set(CHANGES) & set(NO_CHANGE)
    assert all(reason.endswith(".") for reason in NO_CHANGE.values())


def test_every_change_has_words_of_its_own() -> None:
    assert set(SENTENCES) == set(Change)
    assert len({str(sentence) for sentence in SENTENCES.values()}) == len(SENTENCES)


@pytest.mark.parametrize("endpoint", sorted(CHANGES))
def test_a_change_leaves_its_entries_and_no_address_in_them(platform: Platform, endpoint: str) -> None:
    prepare, expected = CHANGES[endpoint]
    act = prepare(platform)
    before, elsewhere = len(activity_of(platform)), len(activity_of(platform, "globex"))
    answer = act()
    assert getattr(answer, "status_code", 200) in {200, 303}, answer.text
    added = activity_of(platform)[before:]
    assert sorted(entry.event for entry in added) == sorted(expected)
    assert len(activity_of(platform, "globex")) == elsewhere
    for entry in added:
        assert set(entry.private) == {"label", "before", "after"}
        said = repr(entry)
        for secret in ("192.0.2.10", "Mozilla", PASSWORD, NEW_PASSWORD, "argon2"):
            assert secret not in said
    with platform.db("acme", writing=False) as db:
        assert activity_journal(db.info["keys"]).verify(db) == before + len(expected)


@BOTH
@pytest.mark.parametrize("endpoint", ["preferences.change_profile", "preferences.change_company", "admin.unlock"])
def test_who_sends_the_same_once_more_changes_nothing(platform: Platform, endpoint: str) -> None:
    act = CHANGES[endpoint][0](platform)
    act()
    before = len(activity_of(platform))
    act()
    assert len(activity_of(platform)) - before == (1 if endpoint == "admin.unlock" else 0)


@BOTH
def test_a_change_that_fails_leaves_no_entry(platform: Platform) -> None:
    anna: Browser = platform.signed_in()
    before = len(activity_of(platform))
    for path, form in (
        ("/preferences/profile", {**PROFILE, "first_name": ""}),
        ("/preferences/company", {**COMPANY, "country": "XX"}),
        ("/preferences/display", {**DISPLAY, "theme": "pink"}),
        (SECURITY, {"current": "wrong", "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}),
    ):
        assert anna.post(path, form).status_code == 422, path
    assert len(activity_of(platform)) == before


@BOTH
def test_the_part_that_says_who_and_what_can_be_emptied_and_the_chain_holds(platform: Platform) -> None:
    platform.signed_in().post("/preferences/profile", {**PROFILE, "city": "Gent"})
    with platform.db("acme") as db:
        db.execute(activity_table.update().where(activity_table.c.subject == user_id("anna")).values(private=None))
    assert activity_of(platform)[-1].private == {}
    with platform.db("acme", writing=False) as db:
        journal = activity_journal(db.info["keys"])
        assert journal.verify(db) == len(activity_of(platform))
