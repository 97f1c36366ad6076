"""Recovery codes: ten on paper, each good once, for whoever has lost the rest."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from extranet.factors import recovery_codes
from tests.evidence import bytes_of
from tests.extranet.factors import (
    SECURITY,
    Equipped,
    codes_on,
    is_signed_in,
    mails_to,
    pending,
    second_step,
    set_up_app,
    token_on,
)
from tests.extranet.world import events_after, log_of, names, value_of
from tests.platform import BOTH, Platform, user_id

BEN = user_id("ben")


@pytest.fixture
def held(platform: Platform) -> Equipped:
    """Ben's app and codes."""
    return set_up_app(platform.signed_in("acme", "ben"))


@BOTH
def test_ten_codes_of_eighty_bits_come_with_the_first_factor_and_only_a_mac_is_kept(
    platform: Platform, held: Equipped
) -> None:
    assert len(set(held.codes)) == 10
    assert all(re.fullmatch(r"[A-Z2-7]{4}(-[A-Z2-7]{4}){3}", code) for code in held.codes)
    stored = bytes_of(platform, "acme")
    for code in held.codes:
        assert code.encode() not in stored
        assert code.replace("-", "").encode() not in stored


def test_each_works_once_however_it_is_typed(platform: Platform, held: Equipped) -> None:
    first, second, third = held.codes[:3]
    looks_alike = third.replace("O", "0").replace("I", "1").replace("B", "8")
    for typed in (first, second.lower().replace("-", " "), looks_alike.replace("-", "")):
        assert second_step(pending(platform), recovery=typed).status_code == 303
        assert second_step(pending(platform), recovery=typed).status_code == 422


@pytest.mark.parametrize("typed", ["", "AAAA", "AAAA-AAAA-AAAA-AAAA", "ÄÄÄÄ-AAAA-AAAA-AAAA", "A" * 41])
def test_what_is_none_is_refused(platform: Platform, held: Equipped, typed: str) -> None:
    assert second_step(pending(platform), recovery=typed).status_code == 422
    assert held.codes


def test_somebody_elses_and_another_tenants_code_open_nothing(platform: Platform, held: Equipped) -> None:
    anna = set_up_app(platform.signed_in("acme", "anna"))
    theirs = set_up_app(platform.signed_in("globex", "ben"))
    for code in (anna.codes[0], theirs.codes[0]):
        assert second_step(pending(platform), recovery=code).status_code == 422
    assert second_step(pending(platform), recovery=held.codes[0]).status_code == 303


def test_using_one_is_told_and_recorded_and_few_left_are_warned_of(platform: Platform, held: Equipped) -> None:
    browser = pending(platform)
    recorded = events_after(platform, lambda: second_step(browser, recovery=held.codes[0]))
    assert names(recorded)[-2:] == ["recovery_code_used", "signed_in"]
    assert recorded[-1].details["factors"] == ["password", "recovery"]
    assert recorded[-2].details["left"] == 9
    assert "recovery_code_used" in mails_to(platform)
    assert "It will not work again" in browser.get("/").text
    for code in held.codes[1:6]:
        second_step(pending(platform), recovery=code)
    browser = pending(platform)
    second_step(browser, recovery=held.codes[6])
    assert "few are left" in browser.get("/").text
    page = browser.get(SECURITY).text
    assert "3 codes left" in page
    assert "Make new ones while you can" in page


@BOTH
def test_new_codes_replace_all_earlier_ones(platform: Platform, held: Equipped) -> None:
    browser = platform.browser()
    browser = pending(platform)
    second_step(browser, code=held.code(1))
    recorded = events_after(platform, lambda: browser.post(f"{SECURITY}/recovery-codes"))
    assert names(recorded) == ["recovery_codes_made"]
    assert "recovery_codes_made" in mails_to(platform)
    codes = codes_on(browser.post(f"{SECURITY}/recovery-codes"))
    assert len(codes) == 10
    assert second_step(pending(platform), recovery=held.codes[3]).status_code == 422
    assert second_step(pending(platform), recovery=codes[3]).status_code == 303


@BOTH
def test_of_twenty_who_use_one_at_once_exactly_one_succeeds(platform: Platform) -> None:
    with platform.db("acme") as db:
        code = recovery_codes.make_codes(db, BEN)[0]
    start = Barrier(20)

    def use(_number: int) -> bool:
        start.wait()
        with platform.db("acme") as db:
            return recovery_codes.use_code(db, BEN, code)

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(use, range(20))) == 1


def test_the_page_that_shows_them_gives_them_as_a_file_and_no_other_login_gets_it(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    set_up_app(browser)
    page = browser.post(f"{SECURITY}/recovery-codes")
    codes, sealed = codes_on(page), value_of(page.text, "codes")
    file = browser.post(f"{SECURITY}/recovery-codes/download", {"codes": sealed}, token=token_on(page))
    assert file.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert file.headers["Content-Disposition"] == 'attachment; filename="recovery-codes.txt"'
    assert all(code in file.text for code in codes)
    for other in (platform.signed_in("acme", "anna"), platform.signed_in("globex", "anna")):
        assert other.post(f"{SECURITY}/recovery-codes/download", {"codes": sealed}).status_code == 404
    for text in ("", "x", "é", sealed[:-8]):
        assert browser.post(f"{SECURITY}/recovery-codes/download", {"codes": text}).status_code == 404


def test_a_code_stands_in_no_log(platform: Platform, held: Equipped) -> None:
    second_step(pending(platform), recovery=held.codes[0])
    second_step(pending(platform), recovery="ABCD-EFGH-IJKL-MNOP")
    said = " ".join(str({**entry.details, **entry.private}) for entry in log_of(platform))
    assert held.codes[0] not in said
    assert "ABCD-EFGH" not in said
    assert is_signed_in(platform.signed_in("acme", "gus"))
