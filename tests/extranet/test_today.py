"""Today says what waits for whoever opens it, and that nothing does only when nothing does."""

from __future__ import annotations

from extranet.models import Role
from tests.browser import Browser
from tests.extranet.admin import BEN, equip
from tests.extranet.support import ask, proved, staff, visit
from tests.extranet.world import add_person
from tests.platform import BOTH, Platform

NOTHING = "Nothing is waiting for you"
SUPPORT = "Support asks for access to Acme"


def today(browser: Browser) -> str:
    page = browser.get("/")
    assert page.status_code == 200
    return page.text


@BOTH
def test_a_request_of_support_waits_for_administrators_until_it_is_answered(platform: Platform) -> None:
    staff(platform)
    anna, ben, theirs = platform.signed_in(), platform.signed_in("acme", "ben"), platform.signed_in("globex")
    assert NOTHING in today(anna)
    request = ask(platform)
    assert SUPPORT in today(anna)
    assert 'href="/admin/support"' in today(anna)
    assert NOTHING not in today(anna)
    for other in (ben, theirs):
        assert NOTHING in today(other)
    assert proved(platform).post(f"/admin/support/{request}/decline").status_code == 303
    assert NOTHING in today(anna)


@BOTH
def test_a_reset_waits_for_the_administrator_who_can_approve_it(platform: Platform) -> None:
    add_person(platform, "olga", Role.ADMIN)
    anna, olga, ben = platform.signed_in(), platform.signed_in("acme", "olga"), platform.signed_in("acme", "ben")
    equip(platform, BEN)
    anna.post(f"/admin/people/{BEN}/factors/reset")
    assert "Anna Martin asks to reset the second factors of Ben" in today(olga)
    assert f'href="/admin/people/{BEN}"' in today(olga)
    # Not for who asked, and never for whose factors they are.
    assert NOTHING in today(anna)
    assert NOTHING in today(ben)
    olga.post(f"/admin/people/{BEN}/factors/withdraw")
    assert NOTHING in today(olga)


def test_support_is_not_asked_to_answer_for_the_company(platform: Platform) -> None:
    inside = visit(platform)
    add_person(platform, "olga", Role.ADMIN)
    equip(platform, BEN)
    platform.signed_in().post(f"/admin/people/{BEN}/factors/reset")
    assert NOTHING in today(inside)
