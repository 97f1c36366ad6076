"""Cookies that a sibling domain piled up, and addresses that are too long: a page says what happened and what to do."""

from __future__ import annotations

import pytest

from tests.front_door.conftest import Open
from tests.front_door.door import DOMAIN, Door, Visitor
from tests.front_door.test_answers import check_headers

pytestmark = pytest.mark.front_door

BOMB = [(f"sibling-{number}", "x" * 4000) for number in range(40)]
LANGUAGES = ("Too many cookies", 'lang="fr"', "Trop de cookies", 'lang="nl"', "Te veel cookies")


def test_forty_large_cookies_get_a_page_that_says_how_to_be_rid_of_them(door: Door, anna: Visitor) -> None:
    one_line = "; ".join(f"{name}={value}" for name, value in BOMB)
    for sent in ([("Cookie", one_line)], [("Cookie", f"{name}={value}") for name, value in BOMB]):
        answer = door.ask("/login", headers=sent)
        assert (answer.status, answer["Clear-Site-Data"]) == (431, '"cookies"')
        check_headers(answer)
        assert (answer["Cache-Control"], answer.all("Set-Cookie")) == ("no-store", [])
        assert all(words in answer.text for words in LANGUAGES)
        assert "nginx" not in answer.text
        assert not answer.tenant
    # Plain HTTP leads to where that is said.
    cookies = "".join(f"Cookie: {name}={value}\r\n" for name, value in BOMB)
    plain = door.ask_plain(f"GET /login HTTP/1.1\r\nHost: {door.host('acme')}\r\n{cookies}\r\n".encode())
    assert (plain.status, plain["Location"]) == (308, f"{door.origin('acme')}/login")
    assert anna.get("/preferences/profile").status == 200
    assert door.ask("/login", headers=[("Cookie", f"{name}={value}") for name, value in BOMB[:3]]).status == 200


def test_a_long_address_costs_nobody_their_cookies(door: Door) -> None:
    # A stranger's page can lead a browser to one, but must not be able to sign anybody out with it.
    for length in (9_000, 70_000):
        answer = door.ask(f"/{'a' * length}")
        assert (answer.status, answer.all("Clear-Site-Data")) == (414, [])
        check_headers(answer)
        assert all(words in answer.text for words in ("Address too long", "Adresse trop longue", "Adres te lang"))


@pytest.mark.browser
def test_in_a_real_browser_over_http_2_the_page_itself_drops_them(door: Door, visit: Open) -> None:
    screen = visit()
    screen.sign_in()
    others = [{"name": n, "value": v, "domain": f".{DOMAIN}", "path": "/", "secure": True} for n, v in BOMB]
    screen.context.add_cookies(others)  # type: ignore[arg-type]
    assert screen.go("/preferences/profile") == 431
    screen.picture("too-many-cookies")
    assert screen.page.locator("h1").inner_text() == "Too many cookies"
    screen.page.click("main section:first-of-type a")
    assert screen.path.startswith("/login"), screen.page.content()
    assert not [name for name in screen.cookies if name.startswith("sibling")]
    screen.sign_in()
