"""Preferences > Security: what somebody sees of signing in elsewhere, and undoing it."""

from __future__ import annotations

from extranet.models import Consent, User
from tests.extranet.admin import BEN
from tests.extranet.sign_on_page import link, links_of, set_up
from tests.extranet.test_admin_settings import last_change
from tests.extranet.world import events_after, names
from tests.platform import SQLITE_ONLY, Platform
from tests.posted import mails_of

SECURITY = "/preferences/security"
UNLINK = f"{SECURITY}/sign-on/unlink"


@SQLITE_ONLY
def test_the_card_is_there_when_there_is_something_to_do_or_to_undo(platform: Platform) -> None:
    ben = platform.signed_in("acme", "ben")
    assert 'id="sign-on"' not in ben.get(SECURITY).text
    set_up(platform)
    page = ben.get(SECURITY).text
    assert "Signing in with Acme ID" in page
    assert "Not linked" in page
    assert 'action="/sign-on/link"' in page
    assert 'id="sign-on"' not in platform.signed_in("globex", "ben").get(SECURITY).text
    link(platform, "ben")
    page = ben.get(SECURITY).text
    assert "ben@acme.example at Acme ID" in page
    assert "Never used yet" in page
    assert "text of 2026-11" in page
    assert "Still counts" in page
    assert "/sign-on/link" not in page


@SQLITE_ONLY
def test_a_link_with_an_issuer_of_before_is_called_by_its_host(platform: Platform) -> None:
    link(platform, "ben", issuer="https://before.example/realms/acme")
    ben = platform.signed_in("acme", "ben")
    page = ben.get(SECURITY).text
    assert "Signing in with before.example" in page
    assert "turned this off" in page
    # The company has another one now: both are shown, and one can be linked.
    set_up(platform)
    page = ben.get(SECURITY).text
    assert "ben@acme.example at before.example" in page
    assert "Signing in with Acme ID" in page
    assert "/sign-on/link" in page


@SQLITE_ONLY
def test_unlinking_takes_the_consent_back_and_says_so_by_mail(platform: Platform) -> None:
    set_up(platform)
    link(platform, "ben")
    link(platform, "gus")
    elsewhere, ben = platform.signed_in("acme", "ben"), platform.signed_in("acme", "ben")
    recorded = events_after(platform, lambda: ben.post(UNLINK))
    assert names(recorded) == ["identity_unlinked"]
    assert recorded[0].details["logins_ended"] == 1
    assert elsewhere.get("/").status_code == 303
    assert last_change(platform)[1]["before"] == {"linked": ["ben@acme.example"]}
    assert links_of(platform) == ["gus@acme.example"]
    with platform.db("acme", writing=False) as db:
        assert {consent.user_id: consent.withdrawn_at is None for consent in db.query(Consent)}[BEN] is False
    (mail,) = mails_of(platform, "acme", "identity_unlinked")
    assert "192.0.2.10" in mail.text
    assert "/stranger/" in mail.text
    page = ben.get(SECURITY).text
    assert "Your account is no longer linked." in page
    assert "Taken back" in page
    assert events_after(platform, lambda: ben.post(UNLINK)) == []


@SQLITE_ONLY
def test_nobody_unlinks_their_only_way_in(platform: Platform) -> None:
    set_up(platform)
    link(platform, "ben")
    ben = platform.signed_in("acme", "ben")
    with platform.db("acme") as db:
        db.get_one(User, BEN).password = b""
    refused = ben.post(UNLINK)
    assert refused.status_code == 422
    assert "no way in" in refused.text
    assert links_of(platform) == ["ben@acme.example"]
