"""What is asked of a new password: how long, how hard to guess, and not one of the last five."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import time_machine
from sqlalchemy import func, select, update
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from extranet.accounts import new_passwords, operations
from extranet.accounts.common_words import DUTCH, FRENCH
from extranet.accounts.new_passwords import password_rules
from extranet.accounts.passwords import check_new_password, estimate
from extranet.errors import Invalid
from extranet.models import Company, PreviousPassword, User
from extranet.security_log.origin import OPERATOR
from tests.browser import Browser
from tests.extranet.world import NEW_PASSWORD, count_verifications, events_after, names, try_sign_in
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id

PAGE = "/preferences/security"
# Random, so that length alone decides; long enough for every boundary.
RANDOM = "kV8#Lw2!pQz9@Rt5xN3&bM7^" * 6


def ask_for(platform: Platform, characters: int, slug: str = "acme") -> None:
    with platform.db(slug) as db:
        db.execute(update(Company).values(shortest_password=characters))


def change(browser: Browser, current: str, new: str) -> int:
    return browser.post(PAGE, {"current": current, "new": new, "repeat": new}).status_code


def kept(platform: Platform, username: str = "anna", slug: str = "acme") -> int:
    with platform.db(slug, writing=False) as db:
        mine = select(func.count()).where(PreviousPassword.user_id == user_id(username))
        return db.execute(mine).scalar_one()


@pytest.mark.parametrize("shortest", [12, 15, 64])
@pytest.mark.parametrize("length", [7, 8, 11, 12, 14, 15, 63, 64, 128])
def test_length_is_what_the_tenant_asks_for_and_nothing_else(shortest: int, length: int) -> None:
    password = RANDOM[:length]
    if length < shortest:
        with pytest.raises(Invalid, match=str(shortest)):
            check_new_password(password, [], shortest)
    else:
        assert check_new_password(password, [], shortest) == 4


def test_the_tenant_s_length_counts_wherever_a_password_is_chosen(platform: Platform) -> None:
    invitation = platform.invite("acme", "cleo")
    browser, invited = platform.signed_in(), platform.browser()
    invited.get(invitation)
    ask_for(platform, 20)
    short, long = RANDOM[:19], RANDOM[:20]
    assert change(browser, PASSWORD, short) == 422
    assert invited.post("/invitation", {"password": short, "repeat": short}).status_code == 422
    with platform.db("acme", writing=False) as db, pytest.raises(Invalid):
        operations.set_password(
            db, platform.passwords, operations.find_user(db, "ben"), short, OPERATOR_ORIGIN, OPERATOR
        )
    for page in (browser.get(PAGE), invited.get("/invitation")):
        assert "At least 20 characters" in page.text
        assert 'minlength="20"' in page.text
    assert change(browser, PASSWORD, long) == 303
    assert invited.post("/invitation", {"password": long, "repeat": long}).status_code == 303
    assert change(platform.signed_in("globex"), PASSWORD, RANDOM[:12]) == 303, "the other tenant's is another"


def test_a_password_from_before_a_stricter_rule_still_opens_the_account(platform: Platform) -> None:
    ask_for(platform, 64)
    assert try_sign_in(platform.browser(), "anna", PASSWORD).status_code == 303


@pytest.mark.parametrize(
    "password",
    [
        RANDOM[:128],
        "with spaces and 数字 and ümläuts, all of it",
        "😀🎉🐙🦊🌵🍉🎻🚲🪁🧊🥝🛶",
        "cafe\u0301 sous la pluie noire",
        "  leading and trailing spaces count too  ",
    ],
)
def test_all_characters_count_to_the_last_and_none_is_folded(platform: Platform, password: str) -> None:
    browser = platform.signed_in()
    assert change(browser, PASSWORD, password) == 303
    for number, other in enumerate((password[:-1] + "§", password[:-1], password.swapcase(), password.strip())):
        if other != password:
            tried = try_sign_in(platform.browser(address=f"10.3.{number}.1"), "anna", other)
            assert tried.status_code == 422, other
    assert try_sign_in(platform.browser(), "anna", password).status_code == 303


def test_a_kilobyte_is_read_to_its_last_byte_and_not_one_more_is_hashed(platform: Platform) -> None:
    longest = RANDOM[:100] + "".join(f"{number:04d}" for number in range(231))
    assert len(longest) == 1024
    browser = platform.signed_in()
    assert change(browser, PASSWORD, longest) == 303
    assert try_sign_in(platform.browser(address="10.3.0.1"), "anna", longest[:-1] + "x").status_code == 422
    assert try_sign_in(platform.browser(), "anna", longest).status_code == 303
    hasher = count_verifications(platform)
    assert try_sign_in(platform.browser(), "anna", longest + "x").status_code == 422
    assert change(browser, longest + "x", NEW_PASSWORD) == 422
    assert change(browser, longest, longest + "x") == 422
    assert hasher.verified <= 1


@pytest.mark.repeats
def test_no_password_of_the_public_lists_is_taken_however_long() -> None:
    """Thirty thousand leaked ones, and every word, name and title of the other lists."""
    taken = []
    for words in FREQUENCY_LISTS.values():
        for word in words:
            if len(word) >= 12:
                try:
                    check_new_password(word, [])
                except Invalid:
                    continue
                taken.append(word)
    assert taken == []


@pytest.mark.parametrize(
    "password",
    [
        "motdepasse2026!",
        "jetaimemonamour",
        "septembre2026!",
        "doudouchouchou",
        "Comptabilite2026!",
        "bruxelles-2026",
        "wachtwoord2026",
        "goedemorgen2026",
        "amsterdam2026!",
        "welkom12345678",
        "m0td3p4ss3!2026",
    ],
)
def test_what_french_and_dutch_speakers_choose_is_known_too(password: str) -> None:
    with pytest.raises(Invalid):
        check_new_password(password, [])


@pytest.mark.parametrize(
    "password", ["cheval correct batterie agrafe", "licorne violette sous la pluie", "vrijdag zingt de paarse ketel"]
)
def test_a_phrase_of_such_words_is_a_good_password(password: str) -> None:
    assert check_new_password(password, []) >= 3


def test_our_own_lists_hold_each_word_as_it_is_compared() -> None:
    for words in (FRENCH.split(), DUTCH.split()):
        assert len(words) == len(set(words))
        assert all(re.fullmatch(r"[a-z0-9]+", word) for word in words)
        assert len(words) > 250


@pytest.mark.parametrize(
    "password",
    ["AcmeExtranet2026!!", "anna.martin.acme", "Martin-Anna-2026", "acme.example.12", "Anna Anna Anna"],
)
def test_what_is_known_of_the_person_and_the_place_is_guessed_first(platform: Platform, password: str) -> None:
    with platform.db("acme", writing=False) as db:
        rules = password_rules(db, db.get_one(User, user_id("anna")))
    with pytest.raises(Invalid):
        rules.check(password)


def test_the_words_of_a_tenant_are_its_own(platform: Platform) -> None:
    def words(slug: str) -> set[str]:
        with platform.db(slug, writing=False) as db:
            return set(password_rules(db, db.get_one(User, user_id("anna"))).words)

    assert "globex" in words("globex")
    assert "globex" not in words("acme")
    assert {"acme", "Acme", "anna", "Anna", "Martin", "extranet", "acme.example"} <= words("acme")


def test_none_of_the_last_five_is_taken_again(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = platform.signed_in()
    passwords = [PASSWORD] + [f"{number} purple kettles sing at noon" for number in range(1, 8)]
    for current, new in pairwise(passwords[:7]):
        clock.shift(timedelta(minutes=1))
        assert change(browser, current, new) == 303
    assert kept(platform) == 5
    current = passwords[6]
    for earlier in passwords[1:7]:
        response = browser.post(PAGE, {"current": current, "new": earlier, "repeat": earlier})
        assert response.status_code == 422
        assert 'id="new-error"' in response.text
    assert change(browser, current, PASSWORD) == 303, "the sixth before is forgotten"
    assert kept(platform) == 5
    assert kept(platform, slug="globex") == 0


def test_one_s_own_earlier_passwords_are_nobody_else_s_business(platform: Platform) -> None:
    assert change(platform.signed_in(), PASSWORD, NEW_PASSWORD) == 303
    assert change(platform.signed_in("acme", "ben"), PASSWORD, NEW_PASSWORD) == 303
    assert change(platform.signed_in("globex"), PASSWORD, NEW_PASSWORD) == 303


def test_an_operator_cannot_set_one_of_the_last_five_either(platform: Platform) -> None:
    assert change(platform.signed_in(), PASSWORD, NEW_PASSWORD) == 303
    for earlier in (PASSWORD, NEW_PASSWORD):
        with platform.db("acme", writing=False) as db:
            user = operations.find_user(db, "anna")
            with pytest.raises(Invalid):
                operations.set_password(db, platform.passwords, user, earlier, OPERATOR_ORIGIN, OPERATOR)


@BOTH
def test_earlier_passwords_are_sealed_to_their_owner_and_noise_elsewhere(platform: Platform) -> None:
    assert change(platform.signed_in(), PASSWORD, NEW_PASSWORD) == 303
    with platform.db("acme") as db:
        row = db.scalars(select(PreviousPassword)).one()
        keys = db.info["keys"]
        assert b"argon2" not in row.password
        assert new_passwords._opened(keys, user_id("anna"), row.password).startswith("$argon2id$")
        assert new_passwords._opened(keys, user_id("ben"), row.password) == ""
        row.user_id = user_id("ben")
    with platform.db("globex", writing=False) as there:
        assert new_passwords._opened(there.info["keys"], user_id("anna"), row.password) == ""
    assert change(platform.signed_in("acme", "ben"), PASSWORD, NEW_PASSWORD) == 303, "what does not open is no obstacle"


def test_a_password_never_expires_by_age(platform: Platform, clock: time_machine.Traveller) -> None:
    clock.shift(timedelta(days=3650))
    assert platform.signed_in().get("/").status_code == 200


def test_a_refused_password_is_hashed_for_nobody(platform: Platform) -> None:
    browser = platform.signed_in()
    hasher = count_verifications(platform)
    assert change(browser, PASSWORD, "passwordpassword") == 422
    assert hasher.verified == 1, "the current one, and no earlier one"


# The meter


def strength(browser: Browser, password: str, token: str | None = None):
    return browser.post("/password/strength", {"password": password}, token=token)


@pytest.mark.parametrize(
    ("password", "score", "says"),
    [
        ("short", 0, "at least 12"),
        ("passwordpassword", 0, "easy to guess"),
        (RANDOM[:11], 2, "at least 12"),
        ("AcmeExtranet2026!!", 1, "easy to guess"),
        (NEW_PASSWORD, 4, "good password"),
        ("x" * 3000, 0, "too long"),
    ],
)
def test_the_meter_says_what_the_server_would(platform: Platform, password: str, score: int, says: str) -> None:
    answer = strength(platform.signed_in(), password)
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["score"] <= score + 1
    assert (answer.json["score"] >= 3) is (score >= 3)
    assert says in answer.json["sentence"].lower()
    assert password not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_meter_follows_the_tenant_s_rule(platform: Platform) -> None:
    ask_for(platform, 40)
    assert "40" in strength(platform.signed_in(), NEW_PASSWORD).json["sentence"]


def test_whoever_is_invited_has_a_meter_and_a_stranger_has_none(platform: Platform) -> None:
    invitation = platform.invite("acme", "cleo")
    invited, stranger = platform.browser(), platform.browser()
    assert strength(stranger, NEW_PASSWORD).status_code == 404
    invited.get(invitation)
    assert strength(invited, NEW_PASSWORD).json["score"] >= 3
    assert strength(invited, "cleo cleo acme 1").json["score"] < 3
    invited.post("/invitation", {"password": NEW_PASSWORD, "repeat": NEW_PASSWORD})
    assert strength(invited, NEW_PASSWORD).status_code == 404


def test_whoever_has_a_link_to_a_new_password_has_a_meter(platform: Platform) -> None:
    from extranet.accounts.links import make_link
    from extranet.models import LinkPurpose

    with platform.db("acme") as db:
        path = make_link(db, db.get_one(User, user_id("ben")), LinkPurpose.RESET).path
        other = make_link(db, db.get_one(User, user_id("anna")), LinkPurpose.REPORT_STRANGER).path
    browser = platform.browser()
    browser.get(other)
    assert strength(browser, NEW_PASSWORD).status_code == 404
    browser.get(path)
    assert strength(browser, NEW_PASSWORD).json["score"] >= 3
    assert strength(browser, "Peeters Ben 2026").json["score"] < 3


def test_the_meter_asks_for_the_token_as_every_form_does(platform: Platform) -> None:
    browser = platform.signed_in()
    assert strength(browser, NEW_PASSWORD, token="").status_code == 403
    sibling = {"Origin": "http://globex.localhost:8000", "Sec-Fetch-Site": "same-site"}
    answer = browser.post("/password/strength", {"password": "x"}, headers=sibling)
    assert answer.status_code == 403


def test_the_meter_stops_after_three_hundred_and_leaves_nothing_behind(
    platform: Platform, capfd: pytest.CaptureFixture[str], home: Path
) -> None:
    browser = platform.signed_in()
    token = browser.token()
    secret = "Xq7 canary 9z lighthouse"
    recorded = events_after(platform, lambda: strength(browser, secret, token))
    assert names(recorded) == []
    statuses = [strength(browser, "short", token).status_code for _ in range(300)]
    assert statuses == [200] * 299 + [429]
    assert strength(platform.signed_in(), secret).status_code == 200, "another session has its own"
    written = capfd.readouterr()
    assert "canary" not in written.out + written.err
    for file in home.rglob("*"):
        if file.is_file():
            assert b"canary 9z" not in file.read_bytes()


def test_the_pages_offer_the_meter_and_work_without_it(platform: Platform) -> None:
    page = platform.signed_in().get(PAGE).text
    assert 'data-strength="/password/strength"' in page
    assert "<meter" in page
    assert 'autocomplete="new-password"' in page
    assert 'autocomplete="current-password"' in page
    assert "password.js" in page


def test_the_estimate_reads_no_more_than_the_beginning() -> None:
    assert estimate("x" * 1_000_000, ["x" * 100]) == 0
