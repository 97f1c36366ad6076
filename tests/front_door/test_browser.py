"""People at work in a real browser, in both tenants, with and without JavaScript."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.front_door.conftest import Open
from tests.front_door.door import DOMAIN, Door, until
from tests.front_door.screen import Screen, png
from tests.platform import PASSWORD

pytestmark = [pytest.mark.front_door, pytest.mark.browser]

TENANTS = ["acme", "globex"]


@pytest.mark.parametrize("slug", TENANTS)
def test_an_invited_person_makes_themselves_at_home(door: Door, visit: Open, slug: str) -> None:
    screen = visit(slug)
    page = screen.page
    screen.go(door.platform.invite(slug, "nina"))
    assert screen.path == "/invitation"
    page.fill("#password", PASSWORD)
    page.fill("#repeat", PASSWORD)
    screen.submit()
    assert screen.path == "/login"
    assert "password is set" in screen.notice
    page.fill("#username", "nina")
    page.fill("#password", PASSWORD)
    screen.submit()
    assert screen.path == "/"
    check_cookies(screen)
    screen.picture(f"walk-{slug}-today")

    page.click("main a[href='/preferences/profile'] >> nth=0")
    page.fill("#position", "Engineer of great bridges")
    screen.submit()
    assert "saved" in screen.notice
    assert page.input_value("#position") == "Engineer of great bridges"
    assert "Engineer of great bridges" in page.inner_text("ol.versions")

    page.set_input_files("#avatar", {"name": "me.png", "mimeType": "image/png", "buffer": png()})
    # The preview is drawn before anything is sent.
    assert page.locator(".avatar.large img").get_attribute("src", timeout=5000).startswith("blob:")  # type: ignore[union-attr]
    screen.submit("form.upload button[type=submit]")
    assert "picture has been changed" in screen.notice
    picture = page.locator(".avatar.large img")
    expect(picture).to_have_js_property("naturalWidth", 256)
    screen.picture(f"walk-{slug}-profile")

    page.click("nav.sections a[href='/preferences/display']")
    page.select_option("#language", "fr")
    page.check("input[name=theme][value=dark]", force=True)
    assert page.get_attribute("html", "data-theme") == "dark"
    screen.submit()
    assert page.get_attribute("html", "lang") == "fr"
    assert page.get_attribute("html", "data-theme") == "dark"
    assert page.inner_text("h1") == "Langue et affichage"
    screen.picture(f"walk-{slug}-display-fr-dark")

    page.click("nav.sections a[href='/preferences/sessions']")
    assert page.locator("section[aria-labelledby=logins] li").count() == 1
    assert "127.0.0.1" in page.inner_text("section[aria-labelledby=logins]")
    page.click("nav.sections a[href='/preferences/history']")
    assert page.locator("tbody tr").count() >= 3
    page.click("nav.sections a[href='/preferences/company']")
    assert slug.capitalize() in page.inner_text("main")
    # A member reads it and has no form to change it.
    assert page.locator("main form").count() == 0

    screen.sign_out()
    assert screen.path == "/login"
    screen.go("/preferences/profile")
    assert screen.path.startswith("/login?next=")
    screen.check_quiet()


def check_cookies(screen: Screen) -> None:
    assert set(screen.cookies) == {"__Host-session", "__Host-device"}
    for cookie in screen.cookies.values():
        # A cookie for a domain and all below it would begin with a dot.
        assert cookie["domain"] == f"{screen.slug}.{DOMAIN}"
        assert (cookie["path"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == ("/", True, True, "Lax")
    assert screen.cookies["__Host-session"]["expires"] == -1
    assert 99 < (screen.cookies["__Host-device"]["expires"] - time.time()) / 86_400 <= 100.001
    assert screen.page.evaluate("document.cookie") == ""
    assert screen.page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


@pytest.mark.parametrize("slug", TENANTS)
def test_everything_works_without_javascript(visit: Open, slug: str) -> None:
    screen = visit(slug, java_script_enabled=False)
    page = screen.page
    screen.sign_in("gus")
    screen.go("/preferences/profile")
    page.fill("#city", "Namur")
    screen.submit()
    assert "saved" in screen.notice
    assert page.input_value("#city") == "Namur"
    page.set_input_files("#avatar", {"name": "me.png", "mimeType": "image/png", "buffer": png("olive")})
    screen.submit("form.upload button[type=submit]")
    assert "picture has been changed" in screen.notice
    screen.go("/preferences/display")
    page.select_option("#time_zone", "Europe/Brussels")
    screen.submit()
    assert "saved" in screen.notice
    screen.sign_out()
    assert screen.path == "/login"
    screen.check_quiet()


def test_a_wrong_password_is_refused_in_one_way_and_the_field_keeps_its_place(visit: Open) -> None:
    screen = visit("acme")
    said = []
    for name in ("anna", "nobody"):
        screen.go("/login")
        screen.page.fill("#username", name)
        screen.page.fill("#password", "not the right password")
        screen.submit()
        assert screen.path == "/login"
        said.append(screen.page.inner_text(".notice.bad"))
    assert said[0] == said[1]


def test_a_picture_that_is_far_too_large_is_refused_beside_its_field(visit: Open, tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    huge.write_bytes(bytes(40 * 1024 * 1024))
    screen = visit("acme")
    screen.sign_in("ben")
    screen.go("/preferences/profile")
    screen.page.set_input_files("#avatar", huge)
    screen.submit("form.upload button[type=submit]")
    assert "at most 2 MB" in screen.page.inner_text("#avatar-error")
    screen.picture("picture-too-large")


def test_a_cookie_copied_to_another_tenant_signs_nobody_in(visit: Open) -> None:
    acme, globex = visit("acme"), visit("globex")
    acme.sign_in("anna")
    origin = globex.door.origin("globex")
    globex.context.add_cookies(
        [
            {
                "name": cookie["name"],
                "value": cookie["value"],
                "url": origin,
                "secure": True,
                "httpOnly": True,
                "sameSite": "Lax",
            }
            for cookie in acme.cookies.values()
        ]
    )
    globex.go("/preferences/profile")
    assert globex.path == "/login?next=/preferences/profile"
    assert "anna@" not in globex.page.content()
    assert "cookie_tampered" in {entry["event"] for entry in globex.door.logged("globex")}
    assert acme.go("/preferences/profile") == 200


@pytest.mark.parametrize("slug", TENANTS)
def test_two_tabs_of_two_tenants_in_one_browser_do_not_meet(visit: Open, slug: str) -> None:
    screen = visit("acme")
    screen.sign_in("anna")
    other = Screen(screen.door, screen.context, "globex", screen._artifacts)
    other.go("/")
    assert other.path.startswith("/login")
    other.sign_in("ben")
    screen.go("/")
    other.go("/")
    assert "Hello Anna" in screen.page.inner_text("h1")
    assert "Hello Ben" in other.page.inner_text("h1")
    (screen if slug == "acme" else other).sign_out()
    left, right = (other, screen) if slug == "acme" else (screen, other)
    assert left.go("/preferences/profile") == 200
    assert left.path == "/preferences/profile"
    right.go("/preferences/profile")
    assert right.path.startswith("/login")


POST = """([address, values]) => {
  const form = document.createElement('form')
  form.method = 'post'
  form.action = address
  for (const [name, value] of Object.entries(values)) {
    const input = document.createElement('input')
    input.name = name
    input.value = value
    form.append(input)
  }
  document.body.append(form)
  form.submit()
}"""
FETCH = """([address, values]) => fetch(address, {
  method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams(values)
}).then(() => 'sent', () => 'refused')"""


def test_a_page_of_one_tenant_cannot_make_the_browser_change_another(door: Door, visit: Open) -> None:
    screen = visit("acme")
    screen.sign_in("anna")
    screen.go("/preferences/display")
    token = screen.page.input_value("main input[name=csrf_token]")
    # The worst case: the attacker has got hold of a good token.
    target = [door.origin("acme") + "/logout", {"csrf_token": token}]
    sibling = Screen(door, screen.context, "globex", screen._artifacts)

    # 1. A page of globex's own: its policy forbids both ways.
    sibling.go("/login")
    assert sibling.page.evaluate(FETCH, target) == "refused"
    with sibling.page.expect_console_message(lambda message: "form-action" in message.text):
        sibling.page.evaluate(POST, target)
    assert any("connect-src" in complaint for complaint in screen.complaints)
    assert sibling.path == "/login"

    # 2. A sibling without any policy, where an attacker runs what they like: same-site, so the cookies go along.
    hostile = f"https://hostile.{DOMAIN}:{door.https}/"
    screen.context.route(hostile, lambda route: route.fulfill(content_type="text/html", body="<body>hostile"))
    sibling.page.goto(hostile)
    before = refusals(door)
    with sibling.page.expect_navigation(url="**/logout"):
        sibling.page.evaluate(POST, target)
    assert "open too long" in sibling.page.inner_text("main")
    assert refusals(door) == before + 1
    sibling.page.goto(hostile)
    # It is sent, for no policy forbids it, and its answer may not be read.
    assert sibling.page.evaluate(FETCH, target) == "refused"
    until(lambda: refusals(door) == before + 2, "no refusal in the log")

    # 3. A page of no site at all.
    sibling.page.goto("data:text/html,<body>nowhere")
    with sibling.page.expect_navigation(url="**/logout"):
        sibling.page.evaluate(POST, target)
    assert "open too long" in sibling.page.inner_text("main")

    assert screen.go("/preferences/profile") == 200
    assert screen.path == "/preferences/profile"


def refusals(door: Door) -> int:
    return [entry["event"] for entry in door.logged("acme", 1000)].count("csrf_refused")


def test_no_site_can_frame_read_or_open_a_page_from_outside(door: Door, visit: Open) -> None:
    screen = visit("acme")
    screen.sign_in("anna")
    hostile = f"https://hostile.{DOMAIN}:{door.https}/"
    screen.context.route(hostile, lambda route: route.fulfill(content_type="text/html", body="<body>hostile"))
    page = screen.page
    page.goto(hostile)
    address = door.origin("acme") + "/preferences/profile"
    reading = "address => fetch(address, {credentials: 'include'}).then(() => 'read', () => 'refused')"
    assert page.evaluate(reading, address) == "refused"
    picture = """address => new Promise(done => {
      const image = new Image(); image.src = address
      image.onload = () => done('shown'); image.onerror = () => done('refused')
    })"""
    assert page.evaluate(picture, door.origin("acme") + "/static/favicon.svg") == "refused"
    framed = """address => new Promise(done => {
      const frame = document.createElement('iframe'); frame.onload = () => done('loaded'); frame.src = address
      document.body.append(frame)
    })"""
    page.evaluate(framed, address)
    assert all("Anna" not in frame.content() for frame in page.frames if frame.url != page.url)
    # A window it opens is cut off from it: Cross-Origin-Opener-Policy.
    with page.expect_popup() as popup:
        page.evaluate("address => { window.opened = window.open(address) }", address)
    popup.value.wait_for_load_state()
    page.wait_for_function("window.opened.closed")
