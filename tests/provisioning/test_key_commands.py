"""rotate-keys: new keys while people work, and what the commands say of it."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select, update

from extranet.accounts import operations
from extranet.models import User
from extranet.models.activity import activity_table
from extranet.models.security_event import security_event_table
from extranet.security_log.operations import journal
from extranet.security_log.origin import OPERATOR
from provisioning.unfinished_work import unfinished_work
from tenants import rotation
from tenants.keys import read_master_keys
from tenants.registry_tables import wrapped_key_table
from tenants.sealing import key_version_of
from tests.browser import Browser
from tests.console import Console, mapping_of
from tests.platform import OPERATOR_ORIGIN, PASSWORD, Platform, open_platform, user_id

SESSION, DEVICE = "__Host-session", "__Host-device"
NEW_PASSWORD = "seven purple kettles sing at noon"


@pytest.fixture(autouse=True)
def _nobody_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_SETTLE_SECONDS", 0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotations take their second, as they do where somebody is at work."""
    monkeypatch.setattr(rotation, "_SETTLE_SECONDS", 1)


@pytest.fixture
def platform(home: Path) -> Iterator[Platform]:
    """The web, over the same home as the console."""
    opened = open_platform(home)
    yield opened
    opened.close()


def seen_at_once(platform: Platform) -> None:
    """As if half a second had passed."""
    platform.tenancy.generation.forget()
    platform.tenancy.generation.forget()


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/").status_code == 200


def sealed_with(platform: Platform, slug: str) -> set[int]:
    with platform.db(slug, writing=False) as db:
        journals = (security_event_table, activity_table)
        values = [*db.scalars(select(User.password))]
        values += [value for entries in journals for value in db.scalars(select(entries.c.private))]
    return {key_version_of(value) for value in values}


def verified(platform: Platform, slug: str) -> int:
    with platform.db(slug, writing=False) as db:
        return journal(db.info["keys"]).verify(db)


def upload_picture(browser: Browser) -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), "teal").save(file, "PNG")
    file.seek(0)
    assert browser.post("/preferences/profile/picture", {"avatar": (file, "me.png")}).status_code == 303


# -- one tenant --------------------------------------------------------------------------------------------------------


def test_nobody_is_signed_out_and_everything_is_sealed_with_the_new_key(console: Console, platform: Platform) -> None:
    anna, elsewhere = platform.signed_in(), platform.signed_in("globex")
    upload_picture(anna)
    avatar = anna.get(f"/people/{user_id('anna')}/avatar").data
    answer = console.done("tenant", "rotate-keys", "acme")
    first, second = answer.stdout.splitlines()
    assert first.startswith("acme seals with key 2 now; ")
    until = datetime.now(UTC) + timedelta(days=100)
    assert second == f"Nobody is signed out. Older keys open cookies until {until:%Y-%m-%d}, then nothing."
    assert is_signed_in(anna)
    assert is_signed_in(elsewhere)
    assert anna.get(f"/people/{user_id('anna')}/avatar").data == avatar
    assert sealed_with(platform, "acme") == {2}
    assert sealed_with(platform, "globex") == {1}
    assert verified(platform, "acme") > 0
    platform.signed_in()


def test_a_known_browser_stays_known_and_its_cookie_is_sealed_anew_at_the_next_sign_in(
    console: Console, platform: Platform
) -> None:
    browser = platform.signed_in()
    browser.post("/logout")
    before = verified(platform, "acme")
    console.done("tenant", "rotate-keys", "acme")
    seen_at_once(platform)
    browser.sign_in("anna", PASSWORD)
    with platform.db("acme", writing=False) as db:
        later = select(security_event_table.c.event).where(security_event_table.c.sequence > before)
        assert set(db.scalars(later)) == {"keys_rotated", "signed_in"}
    assert browser.cookie(DEVICE).startswith("AQAC")


def test_with_logout_everybody_is_signed_out_and_can_sign_in_again(console: Console, platform: Platform) -> None:
    anna, elsewhere = platform.signed_in(), platform.signed_in("globex")
    answer = console.done("tenant", "rotate-keys", "acme", "--logout")
    assert answer.stdout.splitlines()[1] == (
        "Everybody is signed out: 1 login was ended. Older keys open nothing any more."
    )
    seen_at_once(platform)
    assert not is_signed_in(anna)
    assert is_signed_in(elsewhere)
    anna.sign_in("anna", PASSWORD)
    assert is_signed_in(anna)
    assert verified(platform, "acme") > 0


def test_a_cookie_of_a_retired_key_is_refused(console: Console, platform: Platform) -> None:
    anna = platform.signed_in()
    console.done("tenant", "rotate-keys", "acme")
    seen_at_once(platform)
    assert is_signed_in(anna)
    with platform.tenancy.registry.changing() as connection:
        now = datetime.now(UTC).replace(tzinfo=None)
        connection.execute(update(wrapped_key_table).where(wrapped_key_table.c.version == 1).values(retired_at=now))
    seen_at_once(platform)
    assert not is_signed_in(anna)
    assert verified(platform, "acme") > 0
    platform.signed_in()


def test_in_json_it_is_one_document(console: Console) -> None:
    document = console.done("tenant", "rotate-keys", "acme", "--json").document
    assert list(document) == [
        "slug",
        "uuid",
        "key_version",
        "resumed",
        "resealed",
        "unreadable",
        "older_keys_open_until",
        "logins_ended",
    ]
    assert (document["slug"], document["key_version"], document["resumed"]) == ("acme", 2, False)
    assert document["resealed"] > 0
    assert document["logins_ended"] is None
    again = console.done("tenant", "rotate-keys", "acme", "--logout", "--json").document
    assert (again["key_version"], again["logins_ended"]) == (3, 0)


def test_it_is_journaled_and_a_refused_one_too(console: Console) -> None:
    console.done("tenant", "rotate-keys", "acme", "--logout")
    refusal = console.run("tenant", "rotate-keys", "nobody").refusal
    assert "nobody" in refusal
    done, refused = console.journal()
    assert (done.event, done.outcome, done.subject) == ("tenant rotate-keys", "ok", "acme")
    assert mapping_of(done)["logout"] == "True"
    assert (refused.event, refused.outcome) == ("tenant rotate-keys", "refused")


def test_what_does_not_open_is_told_of(console: Console, platform: Platform) -> None:
    upload_picture(platform.signed_in())
    (picture,) = (platform.settings.folder_of(platform.tenant("acme").uuid) / "files").iterdir()
    picture.write_bytes(b"spoilt")
    answer = console.done("tenant", "rotate-keys", "acme")
    assert answer.stdout.splitlines()[2] == (
        "1 did not open with any key and stayed as they were. See: extranet log verify acme"
    )


def test_one_that_was_cut_short_is_named_with_what_goes_on_with_it(
    console: Console, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rotation, "_retire", cut_short)
    assert console.run("tenant", "rotate-keys", "acme").exit_code == 130
    assert unfinished_work(platform.tenancy, platform.tenancy.registry.all()) == {
        "acme": "its change of keys was cut short. Go on with: extranet tenant rotate-keys acme"
    }
    monkeypatch.undo()
    assert console.done("tenant", "rotate-keys", "acme", "--json").document["resumed"]
    assert unfinished_work(platform.tenancy, platform.tenancy.registry.all()) == {}


# -- while people work -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("patient")
def test_while_a_key_is_rotated_whoever_signs_in_gets_in(console: Console, platform: Platform) -> None:
    stop, refused, counts = threading.Event(), [], {"anna": 0, "ben": 0}

    def go_on_signing_in(username: str) -> None:
        while not stop.is_set():
            browser = platform.browser(address=f"192.0.2.{counts[username] % 250}")
            response = browser.post("/login", {"username": username, "password": PASSWORD})
            if response.status_code != 303 or not is_signed_in(browser):
                refused.append(response.status_code)
            counts[username] += 1

    threads = [threading.Thread(target=go_on_signing_in, args=(username,)) for username in counts]
    for thread in threads:
        thread.start()
    console.done("tenant", "rotate-keys", "acme")
    stop.set()
    for thread in threads:
        thread.join()
    assert refused == []
    assert min(counts.values()) > 0
    assert sealed_with(platform, "acme") == {2}
    assert verified(platform, "acme") > 0


def test_a_password_that_was_sealed_anew_while_it_was_verified_is_still_the_right_one(
    console: Console, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = platform.passwords.verify

    def overtaken(*arguments: object, **options: object) -> bool:
        console.done("tenant", "rotate-keys", "acme")
        return verify(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(platform.passwords, "verify", overtaken)
    platform.signed_in()
    assert platform.tenant("acme").key_version == 2


def test_a_password_changed_while_the_key_is_rotated_is_sealed_with_the_new_one(
    console: Console, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = platform.signed_in()
    encoded = platform.passwords.encoded

    def overtaken(password: str) -> str:
        hashed = encoded(password)
        console.done("tenant", "rotate-keys", "acme")
        seen_at_once(platform)
        return hashed

    monkeypatch.setattr(platform.passwords, "encoded", overtaken)
    form = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
    assert browser.post("/preferences/security", form).status_code == 303
    assert is_signed_in(browser)
    assert sealed_with(platform, "acme") == {2}
    platform.browser().sign_in("anna", NEW_PASSWORD)


def test_a_password_changed_by_somebody_else_meanwhile_is_still_noticed(
    console: Console, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = platform.signed_in()
    encoded = platform.passwords.encoded

    def overtaken(password: str) -> str:
        monkeypatch.undo()
        with platform.db("acme") as db:
            user = operations.find_user(db, "anna")
            operations.set_password(
                db, platform.passwords, user, "another phrase nobody guesses", OPERATOR_ORIGIN, OPERATOR
            )
        return encoded(password)

    monkeypatch.setattr(platform.passwords, "encoded", overtaken)
    form = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
    assert "a moment ago, elsewhere" in browser.post("/preferences/security", form).text


@pytest.mark.usefixtures("patient")
def test_an_invitation_accepted_while_the_key_is_rotated_sets_a_password_that_opens(
    console: Console, platform: Platform
) -> None:
    path = platform.invite("acme", "zoe")
    browser = platform.browser()
    browser.get(path)
    rotated = threading.Thread(target=console.done, args=("tenant", "rotate-keys", "acme"))
    rotated.start()
    time.sleep(0.2)
    assert browser.post("/invitation", {"password": PASSWORD, "repeat": PASSWORD}).status_code == 303
    rotated.join()
    platform.browser().sign_in("zoe", PASSWORD)
    with platform.db("acme", writing=False) as db:
        passwords = [value for value in db.scalars(select(User.password)) if value]
    assert {key_version_of(value) for value in passwords} == {2}


# -- all tenants -------------------------------------------------------------------------------------------------------


def test_all_tenants_get_a_new_key_and_nobody_is_signed_out(console: Console, platform: Platform) -> None:
    browsers = [platform.signed_in(slug) for slug in ("acme", "globex")]
    answer = console.done("fleet", "rotate-keys")
    assert answer.stdout == "2 tenants got a new key. Nobody is signed out.\n"
    assert "2 of 2 done, 0 failed" in answer.stderr
    assert all(is_signed_in(browser) for browser in browsers)
    assert [platform.tenant(slug).key_version for slug in ("acme", "globex")] == [2, 2]


def test_a_tenant_that_fails_is_told_of_and_the_others_go_on(console: Console, platform: Platform) -> None:
    path = platform.tenancy.databases.path_of(platform.tenant("acme"))
    path.rename(path.with_name("aside"))
    answer = console.run("fleet", "rotate-keys")
    assert answer.exit_code == 1
    first, second, third = answer.stdout.splitlines()
    assert first == "1 tenant got a new key. Nobody is signed out."
    assert second == "1 tenant failed; try each again with: extranet tenant rotate-keys SLUG"
    assert third.startswith("  acme: ")
    document = console.run("fleet", "rotate-keys", "--json").document
    assert [rotated["slug"] for rotated in document["rotated"]] == ["globex"]
    assert [failed["slug"] for failed in document["failed"]] == ["acme"]
    assert document["done_before"] == 0


def test_many_that_fail_are_listed_in_part(console: Console, platform: Platform) -> None:
    for number in range(11):
        console.create(f"tenant{number}")
    for tenant in platform.tenancy.registry.all():
        platform.tenancy.databases.path_of(tenant).unlink()
    answer = console.run("fleet", "rotate-keys")
    assert answer.stdout.splitlines()[-1] == "  and 3 more: see --json"
    assert len(answer.stdout.splitlines()) == 2 + 10 + 1


def test_one_that_was_cut_short_says_what_had_been_done(
    console: Console, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    retire = rotation._retire

    def cut_short(tenancy: object, tenant: object, begun: object) -> object:
        if platform.tenant("globex").slug == getattr(tenant, "slug", ""):
            raise KeyboardInterrupt
        return retire(tenancy, tenant, begun)  # type: ignore[arg-type]

    monkeypatch.setattr("tenants.fleet_rotation._AT_ONCE", 1)
    monkeypatch.setattr(rotation, "_retire", cut_short)
    assert console.run("fleet", "rotate-keys").exit_code == 130
    monkeypatch.setattr(rotation, "_retire", retire)
    first, second = console.done("fleet", "rotate-keys").stdout.splitlines()
    assert first.startswith("1 tenant had a new key already, from the run of ")
    assert second == "1 tenant got a new key. Nobody is signed out."


# -- the master key ----------------------------------------------------------------------------------------------------


def test_a_new_master_key_wraps_everything_and_the_web_goes_on(console: Console, platform: Platform) -> None:
    browser = platform.signed_in()
    answer = console.done("fleet", "rotate-keys", "--master")
    assert answer.stdout.splitlines() == [
        "3 keys are wrapped under mk2 now.",
        "Back the master key file up again. Drop the older one with: extranet fleet rotate-keys --drop-old",
    ]
    seen_at_once(platform)
    assert is_signed_in(browser)
    # One that this process has not met yet.
    assert platform.signed_in("globex")
    assert read_master_keys(platform.settings.master_key_file).ids == ["mk1", "mk2"]


def test_an_older_master_key_is_dropped_when_it_wraps_nothing(console: Console, platform: Platform) -> None:
    console.done("fleet", "rotate-keys", "--master")
    answer = console.done("fleet", "rotate-keys", "--drop-old")
    assert answer.stdout == "Dropped from the master key file: mk1.\n"
    assert console.done("fleet", "rotate-keys", "--drop-old").stdout == "There is no older master key.\n"
    assert console.done("fleet", "rotate-keys", "--drop-old", "--json").document == {"newest": "mk2", "dropped": []}
    assert platform.signed_in()


def test_both_at_once_in_json(console: Console) -> None:
    document = console.done("fleet", "rotate-keys", "--master", "--drop-old", "--json").document
    assert document == {"newest": "mk2", "added": True, "keys": 3, "faults": [], "dropped": ["mk1"]}
    lines = console.done("fleet", "rotate-keys", "--master", "--drop-old").stdout.splitlines()
    assert lines[-1] == "Dropped from the master key file: mk2."


def test_a_key_that_does_not_open_is_told_of_and_keeps_the_older_master_key(
    console: Console, platform: Platform
) -> None:
    with platform.tenancy.registry.writing() as connection:
        ours = wrapped_key_table.c.tenant_uuid == platform.tenant("acme").uuid
        connection.execute(update(wrapped_key_table).where(ours).values(wrapped=bytes(40)))
    answer = console.run("fleet", "rotate-keys", "--master", "--drop-old")
    assert answer.exit_code == 1
    first, second, third = answer.stdout.splitlines()
    assert first == "2 keys are wrapped under mk2 now."
    assert "does not open with master key mk1" in second
    assert third == "No older master key can be dropped before these open."
    assert "1 key is not wrapped under mk2 yet" in console.run("fleet", "rotate-keys", "--drop-old").refusal


def test_with_several_machines_the_file_is_carried_to_all_before_it_is_used(console: Console) -> None:
    console.environment["EXTRANET_NODES"] = "2"
    answer = console.done("fleet", "rotate-keys", "--master")
    assert answer.stdout.splitlines()[1].startswith("When every other machine has that file too, run this again")
    document = console.done("fleet", "rotate-keys", "--master", "--json").document
    assert document == {"newest": "mk2", "added": False, "keys": 3, "faults": [], "dropped": []}


def test_no_key_stands_in_an_answer_or_in_the_journal(console: Console, platform: Platform) -> None:
    answers = [console.done("fleet", "rotate-keys", *options) for options in (["--master"], ["--json"])]
    text = platform.settings.master_key_file.read_text()
    secrets = [line.partition(":")[2] for line in text.split()]
    said = "".join(answer.stdout + answer.stderr for answer in answers) + str(console.journal())
    assert not [secret for secret in secrets if secret in said]
