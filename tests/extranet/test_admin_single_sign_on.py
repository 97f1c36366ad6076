"""Administration > Single sign-on, and what else administrators see and do about it."""

from __future__ import annotations

import re

import pytest

from extranet.admin.sign_on_operations import save_provider, turn_on
from extranet.errors import Invalid
from extranet.models import Consent, IdentityProvider, User
from extranet.models.single_sign_on import CLIENT_SECRET_SEAL, THE_PROVIDER
from tests.extranet.admin import ANNA, BEN, mails, names_on
from tests.extranet.sign_on_page import FAULTS, SECRET, SETTINGS, link, links_of, provider_for, set_up, stored
from tests.extranet.test_admin_settings import last_change
from tests.extranet.world import disable, events_after, names, value_of
from tests.platform import OPERATOR_ORIGIN, SQLITE_ONLY, Platform, user_id

PAGE = "/admin/single-sign-on"


@pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"], indirect=True)
def test_settings_are_saved_noted_and_shown_but_for_the_secret(platform: Platform) -> None:
    anna = platform.signed_in()
    empty = anna.get(PAGE).text
    assert "<code>http://acme.localhost:8000/sign-on/answer</code>" in empty
    assert "Turn on" not in empty
    recorded = events_after(platform, lambda: anna.post(PAGE, SETTINGS))
    assert names(recorded) == ["identity_provider_changed"]
    assert set(recorded[0].details["fields"]) >= {"issuer", "client_secret", "role_values"}
    provider = stored(platform)
    assert provider is not None
    assert (provider.is_enabled, provider.creates_people, provider.email_domains) == (False, True, "acme.com acme.be")
    assert provider.role_values == '{"bosses": "admin", "staff": "member", "the board": "admin"}'
    assert SECRET.encode() not in provider.client_secret
    with platform.db("acme", writing=False) as db:
        sealed = CLIENT_SECRET_SEAL.purpose, provider.client_secret
        assert db.info["keys"].open(*sealed, context=CLIENT_SECRET_SEAL.bound_to(THE_PROVIDER)) == SECRET.encode()
    event, said = last_change(platform)
    assert event == "identity_provider_changed"
    assert said["after"]["client_secret"] == "stored"
    page = anna.get(PAGE).text
    assert value_of(page, "issuer") == SETTINGS["issuer"]
    assert "bosses\nthe board</textarea>" in page
    for text in (page, repr(said), repr(recorded), anna.get("/admin/activity").text):
        assert SECRET not in text
    # The same once more, the secret left empty: nothing differs, and it is kept.
    assert events_after(platform, lambda: anna.post(PAGE, {**SETTINGS, "client_secret": ""})) == []
    assert stored(platform).client_secret == provider.client_secret  # type: ignore[union-attr]
    assert names(events_after(platform, lambda: anna.post(PAGE, {**SETTINGS, "client_secret": "new"}))) == names(
        recorded
    )
    assert last_change(platform)[1] == {
        "label": "Acme ID", "before": {"client_secret": "stored"}, "after": {"client_secret": "changed"},
    }  # fmt: skip
    anna.post(PAGE, {**SETTINGS, "client_secret": "", "forgets_secret": "y"})
    assert stored(platform).client_secret == b""  # type: ignore[union-attr]
    assert stored(platform, "globex") is None


@SQLITE_ONLY
def test_what_cannot_be_meant_is_said_beside_its_field(platform: Platform) -> None:
    anna = platform.signed_in()
    for values, field in FAULTS:
        refused = anna.post(PAGE, {**SETTINGS, **values})
        assert refused.status_code == 422
        assert f'id="{field}-error"' in refused.text, values
        assert SECRET not in refused.text
    assert stored(platform) is None


@SQLITE_ONLY
def test_two_tabs_do_not_undo_each_other(platform: Platform) -> None:
    anna = platform.signed_in()
    anna.post(PAGE, SETTINGS)
    seen = value_of(anna.get(PAGE).text, "seen")
    # What was changed meanwhile is shown on no page.
    anna.post(PAGE, {**SETTINGS, "client_secret": "another"})
    refused = anna.post(PAGE, {**SETTINGS, "client_secret": "", "name": "Mine", "seen": seen})
    assert refused.status_code == 409
    assert "Name on the button" in refused.text
    again = {**SETTINGS, "client_secret": "", "name": "Mine", "seen": value_of(refused.text, "seen")}
    assert anna.post(PAGE, again).status_code == 303


@SQLITE_ONLY
def test_it_is_turned_on_once_the_provider_answers_and_off_by_another_issuer(platform: Platform) -> None:
    anna = platform.signed_in()
    with provider_for(platform) as server:
        settings = {**SETTINGS, "issuer": f"{server.issuer}/.well-known/openid-configuration"}
        anna.post(PAGE, settings)
        assert stored(platform).issuer == server.issuer  # type: ignore[union-attr]
        tried = anna.post(f"{PAGE}/try")
        assert "The provider answers" in tried.text
        assert server.asked == ["/.well-known/openid-configuration", "/keys"]
        assert names(events_after(platform, lambda: anna.post(f"{PAGE}/on"))) == ["identity_provider_changed"]
        assert stored(platform).is_enabled  # type: ignore[union-attr]
        assert last_change(platform)[1]["after"] == {"is_enabled": True}
        assert events_after(platform, lambda: anna.post(f"{PAGE}/on")) == []
        # A renewed secret interrupts nobody; it does not go to another issuer, and that one has to be tried.
        anna.post(PAGE, {**settings, "client_secret": "renewed"})
        assert stored(platform).is_enabled  # type: ignore[union-attr]
        elsewhere = {**settings, "issuer": "https://evil.example", "client_secret": ""}
        refused = anna.post(PAGE, elsewhere)
        assert refused.status_code == 422
        assert "belongs to the earlier issuer" in refused.text
        saved = anna.post(PAGE, {**elsewhere, "client_secret": "of evil"}, follow_redirects=True)
        assert "off until somebody turns it on" in saved.text
        assert not stored(platform).is_enabled  # type: ignore[union-attr]
        with platform.db("acme") as db, pytest.raises(Invalid, match="meanwhile"):
            turn_on(db, server.issuer, OPERATOR_ORIGIN, ANNA)
        anna.post(PAGE, settings)
        anna.post(f"{PAGE}/on")
        assert names(events_after(platform, lambda: anna.post(f"{PAGE}/off"))) == ["identity_provider_changed"]
        assert not stored(platform).is_enabled  # type: ignore[union-attr]


@SQLITE_ONLY
def test_a_provider_that_is_not_what_was_entered_turns_nothing_on(platform: Platform) -> None:
    anna = platform.signed_in()
    with provider_for(platform) as server:
        anna.post(PAGE, {**SETTINGS, "issuer": server.issuer})
        server.says["issuer"] = "https://somebody.else.example"
        for verb in ("try", "on"):
            refused = anna.post(f"{PAGE}/{verb}")
            assert refused.status_code == 422
            assert "calls itself https://somebody.else.example" in refused.text
        server.says["issuer"], server.keys = server.issuer, {"keys": []}
        assert "names no key" in anna.post(f"{PAGE}/on").text
        assert not stored(platform).is_enabled  # type: ignore[union-attr]
        for _ in range(18):
            anna.post(f"{PAGE}/try")
        asked = len(server.asked)
        assert "Too many tries" in anna.post(f"{PAGE}/try").text
        assert len(server.asked) == asked


@pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"], indirect=True)
def test_nobody_waits_while_the_provider_is_asked_and_what_they_change_counts(platform: Platform) -> None:
    anna = platform.signed_in()
    with provider_for(platform) as server:
        set_up(platform, issuer=server.issuer, is_enabled=False)

        def change() -> None:
            with platform.db("acme") as db:
                db.get_one(IdentityProvider, THE_PROVIDER).issuer = "https://another.example"

        server.meanwhile = change
        refused = anna.post(f"{PAGE}/on")
    assert refused.status_code == 409
    assert "changed meanwhile" in refused.text
    assert not stored(platform).is_enabled  # type: ignore[union-attr]


@SQLITE_ONLY
def test_what_lies_inside_the_operator_s_network_is_not_asked(platform: Platform) -> None:
    anna = platform.signed_in()
    for issuer in ("https://127.0.0.1:1", "https://169.254.169.254/latest", "http://127.0.0.1:1"):
        anna.post(PAGE, {**SETTINGS, "issuer": issuer})
        refused = anna.post(f"{PAGE}/try")
        assert refused.status_code == 422
        assert "inside a network" in refused.text or "begins with https" in refused.text


@pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"], indirect=True)
def test_removing_says_what_it_means_and_forgets_all(platform: Platform) -> None:
    set_up(platform, client_secret=b"sealed")
    set_up(platform, "globex")
    for slug in ("acme", "globex"):
        link(platform, "ben", slug)
    link(platform, "gus", issuer="https://before.example")
    with platform.db("acme") as db:
        db.get_one(User, BEN).password = b""
    disable(platform, "gus")
    anna = platform.signed_in()
    assert "1 person</a>" in anna.get(PAGE).text
    question = anna.get(f"{PAGE}/remove").text
    assert "The links of 2 people are deleted" in question
    assert "1 of them has neither a password nor a passkey" in question
    recorded = events_after(platform, lambda: anna.post(f"{PAGE}/remove"))
    assert names(recorded) == ["identity_provider_changed", "identity_unlinked", "identity_unlinked"]
    assert recorded[0].details["links"] == 2
    assert {entry.subject for entry in recorded[1:]} == {BEN, user_id("gus")}
    assert stored(platform) is None
    assert links_of(platform) == []
    assert mails(platform, "identity_unlinked") == [BEN], "whoever cannot sign in need not know"
    event, said = last_change(platform)
    assert (event, said["before"]["client_secret"], said["after"]) == (
        "identity_provider_changed",
        "stored",
        {"people": 2},
    )
    with platform.db("acme", writing=False) as db:
        assert all(consent.withdrawn_at for consent in db.query(Consent))
    assert links_of(platform, "globex") == ["ben@globex.example"]
    assert mails(platform, "identity_unlinked", "globex") == []
    assert events_after(platform, lambda: anna.post(f"{PAGE}/remove")) == []
    for path in ("/try", "/on"):
        assert anna.post(PAGE + path).status_code == 404
    assert anna.get(f"{PAGE}/remove").status_code == 404
    assert anna.post(f"{PAGE}/off").status_code == 303


@pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"], indirect=True)
def test_the_list_of_people_says_who_signs_in_elsewhere(platform: Platform) -> None:
    anna = platform.signed_in()
    assert "Single sign-on</label>" not in anna.get("/admin/people").text
    set_up(platform)
    link(platform, "ben")
    link(platform, "gus", issuer="https://before.example")
    assert names_on(anna.get("/admin/people?sign_on=yes")) == ["Ben Peeters"]
    assert sorted(names_on(anna.get("/admin/people?sign_on=no&sort=sign_on"))) == ["Anna Martin", "Gus Guest"]
    shown = anna.get("/admin/people?column=sign_on&q=ben").text
    assert re.search(r'<td class="detail sign_on".*?Yes', shown, re.DOTALL)
    sheet = anna.get("/admin/people.csv").text.splitlines()
    assert "Single sign-on" in sheet[0]
    assert [line.split(",")[8] for line in sheet[1:]] == ["No", "No", "Yes"]


@SQLITE_ONLY
def test_an_administrator_unlinks_somebody_who_lost_their_account_there(platform: Platform) -> None:
    set_up(platform)
    link(platform, "ben")
    anna = platform.signed_in()
    person = f"/admin/people/{BEN}"
    assert "ben@acme.example at Acme ID" in anna.get(person).text
    recorded = events_after(platform, lambda: anna.post(f"{person}/unlink"))
    assert [(entry.event, entry.actor, entry.subject) for entry in recorded] == [("identity_unlinked", ANNA, BEN)]
    assert last_change(platform)[1]["before"] == {"linked": ["ben@acme.example"]}
    assert mails(platform, "identity_unlinked") == [BEN]
    assert links_of(platform) == []
    assert "Lost account" not in anna.get(person).text
    assert events_after(platform, lambda: anna.post(f"{person}/unlink")) == []
    assert "in your preferences" in anna.post(f"/admin/people/{ANNA}/unlink").text
    link(platform, "ben", issuer="https://before.example")
    with platform.db("acme") as db:
        db.get_one(User, BEN).password = b""
    refused = anna.post(f"{person}/unlink")
    assert refused.status_code == 422
    assert "no way in" in refused.text
    assert links_of(platform) == ["ben@acme.example"]


@SQLITE_ONLY
def test_the_operation_asks_no_page(platform: Platform) -> None:
    values = {"name": "A", "issuer": "https://id.example", "client_id": "x"}
    with platform.db("acme") as db:
        assert save_provider(db, values, "", OPERATOR_ORIGIN, ANNA)
        assert not save_provider(db, values, None, OPERATOR_ORIGIN, ANNA)
