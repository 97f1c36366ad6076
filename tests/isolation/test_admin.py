"""An administrator of one tenant and the people of another: never seen, never changed, not even under the same ids."""

from __future__ import annotations

import io

import pytest

from extranet.accounts.operations import find_user
from extranet.models import User
from tests.evidence import face, said, untouched
from tests.extranet.admin import HEADINGS, confirm, equip, upload
from tests.platform import Platform, user_id

BEN = user_id("ben")
ACTS = (
    ("role", {"role": "admin"}),
    ("username", {"username": "stolen"}),
    ("address", {"email": "stolen@people.example"}),
    ("deactivate", {}),
    ("reactivate", {}),
    ("unlock", {}),
    ("sign-out", {}),
    ("reset-password", {}),
    ("factors/reset", {}),
    ("factors/approve", {}),
    ("factors/withdraw", {}),
)


def person_of_globex(platform: Platform) -> str:
    platform.invite("globex", "zoe")
    with platform.db("globex", writing=False) as db:
        return find_user(db, "zoe").id


def test_a_person_of_the_other_tenant_is_answered_like_nobody(platform: Platform) -> None:
    zoe = person_of_globex(platform)
    browser = platform.signed_in()
    with untouched(platform, "globex"):
        for act, data in ACTS:
            theirs, nobodys = (browser.post(f"/admin/people/{who}/{act}", data) for who in (zoe, "9" * 32))
            assert theirs.status_code == nobodys.status_code == 404, act
            assert face(theirs) == face(nobodys)
        for act in ("resend", "revoke"):
            assert browser.post(f"/admin/invitations/{zoe}/{act}").status_code == 404
        for page in ("", "/deactivate"):
            assert browser.get(f"/admin/people/{zoe}{page}").status_code == 404


@pytest.mark.parametrize(("act", "data"), ACTS, ids=[act for act, _data in ACTS])
def test_what_is_done_to_somebody_is_done_to_nobody_with_the_same_id(
    platform: Platform, act: str, data: dict[str, str]
) -> None:
    for slug in ("acme", "globex"):
        equip(platform, BEN, slug)
    browser = platform.signed_in()
    with untouched(platform, "globex"):
        assert browser.post(f"/admin/people/{BEN}/{act}", data).status_code in {303, 422}


def test_an_import_creates_people_in_its_own_tenant_alone(platform: Platform) -> None:
    ours, theirs = platform.signed_in(), platform.signed_in("globex")
    upload(theirs, HEADINGS + "Gil,Globex,gil@people.example,,,,\n")
    with untouched(platform, "globex"):
        upload(ours, HEADINGS + "Ida,Acme,ida@people.example,,,,\n")
        assert b"gil@people" not in said(ours.get("/admin/import"))
        assert confirm(ours).status_code == 303
        assert b"gil@people" not in said(ours.get("/admin/import/left-out.csv"))
    with platform.db("globex", writing=False) as db:
        assert db.query(User).filter_by(email="ida@people.example").count() == 0
    with untouched(platform, "acme"):
        assert confirm(theirs).status_code == 303


def test_the_list_that_one_tenant_confirms_is_not_the_other_s(platform: Platform) -> None:
    ours, theirs = platform.signed_in(), platform.signed_in("globex")
    upload(theirs, HEADINGS + "Gil,Globex,gil@people.example,,,,\n")
    page = theirs.get("/admin/import").text
    mark = page.partition('name="file" value="')[2].partition('"')[0]
    with untouched(platform, "globex"), untouched(platform, "acme"):
        assert ours.post("/admin/import/confirm", {"file": mark}).status_code == 409


def test_a_logo_and_a_welcome_are_shown_at_their_own_host_alone(platform: Platform) -> None:
    from PIL import Image

    drawn = io.BytesIO()
    Image.new("RGB", (30, 10), "red").save(drawn, "PNG")
    browser = platform.signed_in()
    with untouched(platform, "globex"):
        browser.post("/admin/look/logo", {"logo": (io.BytesIO(drawn.getvalue()), "l.png")})
        browser.post("/admin/look", {"accent_hue": "0", "welcome": "canary of acme"})
        policy = {"second_factor": "optional", "shortest_password": "20", "idle_minutes": "9", "log_days": "200"}
        assert browser.post("/admin/policy", policy).status_code == 303
    stranger = platform.browser("globex")
    assert stranger.get("/logo").status_code == 404
    assert b"canary" not in said(stranger.get("/login"))
    assert b"canary" in said(platform.browser("acme").get("/login"))


def test_an_administrator_finds_and_exports_their_own_people_alone(platform: Platform) -> None:
    person_of_globex(platform)
    browser = platform.signed_in()
    for path in (
        "/admin/people?q=globex",
        "/admin/people?q=zoe",
        "/admin/people.csv",
        "/admin/invitations",
        "/admin/usage",
    ):
        words = said(browser.get(path))
        assert b"@globex" not in words, path
        assert b"newcomer" not in words, path
