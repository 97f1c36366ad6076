"""What every answer says to the browser, on every address and with every status."""

from __future__ import annotations

import pytest
from werkzeug.test import TestResponse

from tests.browser import Browser
from tests.extranet.world import try_sign_in
from tests.platform import PASSWORD, Platform, open_platform, user_id

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}


def check(response: TestResponse, *, is_static: bool = False) -> None:
    response.close()
    for name, value in ALWAYS.items():
        assert response.headers.getlist(name) == [value]
    assert response.headers["Referrer-Policy"] in {"same-origin", "no-referrer"}
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "geolocation=()" in response.headers["Permissions-Policy"]
    assert response.headers["X-Request-Id"]
    assert "Server" not in response.headers
    if not is_static:
        assert "no-store" in response.headers["Cache-Control"] or "private" in response.headers["Cache-Control"]
        assert "Cookie" in response.headers["Vary"]
    for cookie in response.headers.getlist("Set-Cookie"):
        parts = set(cookie.split("; ")[1:])
        assert cookie.startswith(("__Host-session=", "__Host-device="))
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= parts
        assert not any(part.startswith("Domain") for part in parts)
        ages = [part for part in parts if part.startswith(("Max-Age", "Expires"))]
        if cookie.startswith("__Host-session="):
            assert ages == []
        else:
            assert "Max-Age=8640000" in ages
        assert len(cookie.split(";")[0]) < 3800


def addresses(platform: Platform) -> list[str]:
    filled = {
        "token": "x",
        "user_id": user_id("anna"),
        "login_id": "x",
        "browser_id": "x",
        "passkey_id": "x",
        "grant_id": "x",
        "filename": "tokens.css",
    }
    adapter = platform.app.url_map.bind("acme.localhost")
    return sorted(
        {
            adapter.build(rule.endpoint, {name: filled[name] for name in rule.arguments}, method=method)
            for rule in platform.app.url_map.iter_rules()
            for method in (rule.methods or ()) - {"HEAD"}
        }
    )


def test_every_address_says_it_to_everybody_for_every_method(platform: Platform) -> None:
    statuses = set()
    for browser in (platform.browser(), platform.signed_in("acme", "ben")):
        for number, path in enumerate(addresses(platform)):
            # No address takes one of the others, so each of them is asked of some.
            for method in ("GET", "HEAD", "POST", ("PUT", "DELETE", "OPTIONS", "TRACE")[number % 4]):
                response = browser._open(method, path)
                is_static = path.startswith("/static") and response.status_code == 200
                check(response, is_static=is_static)
                statuses.add(response.status_code)
    assert {200, 303, 403, 405, 410} <= statuses


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (lambda browser: browser.get("/nowhere"), 404),
        (lambda browser: browser.get("/", environ_overrides={"HTTP_HOST": "nobody.localhost"}), 404),
        (lambda browser: browser.get("/", environ_overrides={"HTTP_HOST": "a b"}), 400),
        (lambda browser: browser.post("/preferences/profile", {}), 401),
        (lambda browser: browser.post("/preferences/profile", {"x": "y" * 300_000}), 413),
        (lambda browser: try_sign_in(browser), 422),
        (lambda browser: try_sign_in(browser, "anna", PASSWORD), 303),
        (lambda browser: [try_sign_in(browser) for _ in range(7)][-1], 429),
        (lambda browser: browser.get("/static/tokens.css", headers={"Range": "bytes=999999-"}), 416),
    ],
)
def test_every_status_says_it(platform: Platform, act, status: int) -> None:
    response = act(platform.browser())
    assert response.status_code == status
    check(response)


def test_a_static_file_may_be_kept_by_everybody_for_a_year(platform: Platform) -> None:
    response = platform.browser().get("/static/tokens.css")
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Set-Cookie" not in response.headers
    response.close()
    again = platform.browser().get("/static/tokens.css", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304
    again.close()
    assert again.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_no_path_leads_out_of_the_static_folder(platform: Platform) -> None:
    for path in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "..\\app.py", "tokens.css%00"):
        assert platform.browser().get(f"/static/{path}").status_code in {303, 308, 404}


def test_the_address_of_a_static_file_changes_with_its_content(platform: Platform) -> None:
    page = platform.browser().get("/login").text
    assert "/static/tokens.css?v=" in page


def test_strict_transport_security_is_sent_where_there_is_transport_security(platform: Platform) -> None:
    assert "Strict-Transport-Security" not in platform.browser().get("/login").headers
    production = open_platform(platform.settings.home, domain="extranet.example", port=443)
    try:
        browser = Browser(production.app, "https://acme.extranet.example")
        response = browser.get("/login")
        assert response.status_code == 200
        assert response.headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"
        plain = Browser(production.app, "http://acme.extranet.example").get("/login")
        assert plain.status_code == 400
    finally:
        production.close()
