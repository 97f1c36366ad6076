"""A picture: in its tenant's folder alone, sealed for that tenant and that name, served to its own people alone."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest
from PIL import Image

from extranet.accounts.operations import find_user
from extranet.models import User
from extranet.request.cookies import DEVICE_COOKIE, SESSION_COOKIE
from tests.browser import Browser
from tests.evidence import ask, face, folder_of, stored_files, untouched
from tests.platform import SLUGS, Platform, user_id

AVATAR = f"/people/{user_id('ben')}/avatar"
COLOURS = {"acme": (200, 30, 30), "globex": (30, 30, 200)}


def drawn(colour: tuple[int, int, int], side: int = 40) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


def upload(browser: Browser, slug: str) -> None:
    data = {"avatar": (io.BytesIO(drawn(COLOURS[slug])), f"{slug}.png")}
    assert browser.post("/preferences/profile/picture", data).status_code == 303


def is_red(picture: bytes) -> bool:
    with Image.open(io.BytesIO(picture)) as image:
        red, _, blue, *_ = image.convert("RGB").getpixel((100, 100))
    return bool(red > blue)


def avatar_of(platform: Platform, slug: str) -> str:
    with platform.db(slug, writing=False) as db:
        return find_user(db, "ben").avatar


def path_of(platform: Platform, slug: str) -> Path:
    return folder_of(platform, slug) / "files" / avatar_of(platform, slug)


@pytest.fixture
def ben(platform: Platform) -> dict[str, Browser]:
    """The same person in both tenants, each with a picture of their own."""
    browsers = {slug: platform.signed_in(slug, "ben") for slug in SLUGS}
    for slug, browser in browsers.items():
        upload(browser, slug)
        assert "Your picture has been changed." in browser.get("/preferences/profile").text
    return browsers


def test_each_tenant_shows_its_own_picture_of_the_same_person(platform: Platform, ben: dict[str, Browser]) -> None:
    assert is_red(ben["acme"].get(AVATAR).data)
    assert not is_red(ben["globex"].get(AVATAR).data)
    assert avatar_of(platform, "acme") != avatar_of(platform, "globex")


def test_a_picture_is_in_its_tenants_folder_alone_and_cannot_be_read_there(
    platform: Platform, ben: dict[str, Browser]
) -> None:
    for slug in SLUGS:
        files = stored_files(platform, slug)
        assert list(files) == [avatar_of(platform, slug)]
        (sealed,) = files.values()
        assert b"WEBP" not in sealed
        assert sealed != ben[slug].get(AVATAR).data
        folder = folder_of(platform, slug)
        for path in (folder, folder / "files", path_of(platform, slug)):
            assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0
    tenants = platform.settings.home / "tenants"
    assert {path.name for path in tenants.iterdir()} == {str(platform.tenant(slug).uuid) for slug in SLUGS}
    assert not [path for path in platform.settings.home.rglob("*") if path.suffix in {".webp", ".png", ".part"}]


def test_a_picture_is_not_shown_to_strangers_nor_to_people_of_the_other_tenant(
    platform: Platform, ben: dict[str, Browser]
) -> None:
    foreign = ben["globex"]
    for cookie in (
        "",
        f"{SESSION_COOKIE}={foreign.cookie(SESSION_COOKIE)}",
        f"{DEVICE_COOKIE}={ben['acme'].cookie(DEVICE_COOKIE)}",
    ):
        refused = ask(platform, "acme", AVATAR, cookie=cookie)
        assert (refused.status_code, refused.headers["Location"]) == (303, f"/login?next={AVATAR}")
        assert b"WEBP" not in refused.data


def test_the_name_of_a_file_of_the_other_tenant_opens_nothing(platform: Platform, ben: dict[str, Browser]) -> None:
    with platform.db("acme") as db:
        find_user(db, "ben").avatar = avatar_of(platform, "globex")
    with untouched(platform, "globex"):
        refused = ben["acme"].get(AVATAR)
        assert refused.status_code == 404
        upload(ben["acme"], "acme")
    assert is_red(ben["acme"].get(AVATAR).data)
    assert not is_red(ben["globex"].get(AVATAR).data)


def test_removing_a_picture_named_like_the_other_tenants_leaves_that_one(
    platform: Platform, ben: dict[str, Browser]
) -> None:
    with platform.db("acme") as db:
        find_user(db, "ben").avatar = avatar_of(platform, "globex")
    with untouched(platform, "globex"):
        assert ben["acme"].post("/preferences/profile/picture/remove").status_code == 303
    assert ben["globex"].get(AVATAR).status_code == 200


def test_files_swapped_on_disk_between_the_tenants_are_refused(platform: Platform, ben: dict[str, Browser]) -> None:
    ours, theirs = path_of(platform, "acme"), path_of(platform, "globex")
    kept = ours.read_bytes(), theirs.read_bytes()
    ours.write_bytes(kept[1])
    theirs.write_bytes(kept[0])
    for slug in SLUGS:
        assert ben[slug].get(AVATAR).status_code == 404
        assert ben[slug].get("/").status_code == 200
    ours.write_bytes(kept[0])
    theirs.write_bytes(kept[1])
    assert is_red(ben["acme"].get(AVATAR).data)
    assert not is_red(ben["globex"].get(AVATAR).data)


def test_a_file_copied_into_the_other_tenant_under_its_own_name_is_refused(
    platform: Platform, ben: dict[str, Browser]
) -> None:
    foreign = path_of(platform, "globex")
    (folder_of(platform, "acme") / "files" / foreign.name).write_bytes(foreign.read_bytes())
    with platform.db("acme") as db:
        db.get_one(User, user_id("ben")).avatar = foreign.name
    assert ben["acme"].get(AVATAR).status_code == 404


def test_two_files_of_one_tenant_cannot_take_each_others_place(platform: Platform, ben: dict[str, Browser]) -> None:
    gus = platform.signed_in("acme", "gus")
    upload(gus, "globex")
    with platform.db("acme", writing=False) as db:
        other = folder_of(platform, "acme") / "files" / find_user(db, "gus").avatar
    other.write_bytes(path_of(platform, "acme").read_bytes())
    assert gus.get(f"/people/{user_id('gus')}/avatar").status_code == 404


def test_the_same_name_in_both_tenants_is_two_files(platform: Platform, ben: dict[str, Browser]) -> None:
    name = "d" * 32
    for slug in SLUGS:
        tenant = platform.tenant(slug)
        picture = platform.tenancy.files_of(tenant).read(avatar_of(platform, slug))
        sealed = platform.tenancy.keys_of(tenant).seal("file", picture, context=name.encode())
        (folder_of(platform, slug) / "files" / name).write_bytes(sealed)
        with platform.db(slug) as db:
            find_user(db, "ben").avatar = name
    assert is_red(ben["acme"].get(AVATAR).data)
    assert not is_red(ben["globex"].get(AVATAR).data)
    with untouched(platform, "globex"):
        assert ben["acme"].post("/preferences/profile/picture/remove").status_code == 303
    assert not (folder_of(platform, "acme") / "files" / name).exists()


LONGEST_NAME = 32
PATHS_FOR_NAMES = (
    "../{other}/files/{file}",
    "../../{other}/files/{file}",
    "../tenant.sqlite3",
    "/etc/passwd",
    "{file}/../{file}",
    "..",
    ".",
)
ADDRESSES = (
    "/people/{user}/avatar/",
    "/people/%2e%2e/avatar",
    "/people/..%2f{user}/avatar",
    "/people/{user}%00/avatar",
    "/people/{file}/avatar",
    "/files/{file}",
    "/static/../../var/tenants/{other}/files/{file}",
    "/static/..%2f..%2ftenants/{other}/files/{file}",
    "/tenants/{other}/files/{file}",
    "/static/%2e%2e/%2e%2e/registry.sqlite3",
)


def test_a_path_in_place_of_a_file_name_leads_nowhere(
    platform: Platform, ben: dict[str, Browser], kept_on: str
) -> None:
    nobody = face(ben["acme"].get(f"/people/{'9' * 32}/avatar"))
    for name in PATHS_FOR_NAMES:
        path = name.format(other=platform.tenant("globex").uuid, file=avatar_of(platform, "globex"))
        if kept_on == "postgresql" and len(path) > LONGEST_NAME:
            # Here the column itself refuses it.
            continue
        with platform.db("acme") as db:
            find_user(db, "ben").avatar = path
        with untouched(platform, "globex"):
            assert face(ben["acme"].get(AVATAR)) == nobody, name
            ben["acme"].post("/preferences/profile/picture/remove")
            ben["acme"].get("/preferences/profile")


def test_no_other_address_leads_to_a_file(platform: Platform, ben: dict[str, Browser]) -> None:
    values = {
        "user": user_id("ben"),
        "other": platform.tenant("globex").uuid,
        "file": avatar_of(platform, "globex"),
    }
    for path in ADDRESSES:
        assert ben["acme"].get(path.format(**values)).status_code == 404, path


def test_a_folder_that_is_a_link_to_the_other_tenants_is_not_written_through(
    platform: Platform, ben: dict[str, Browser]
) -> None:
    ours = folder_of(platform, "acme") / "files"
    ours.rename(ours.with_name("aside"))
    ours.symlink_to(folder_of(platform, "globex") / "files")
    with untouched(platform, "globex"):
        data = {"avatar": (io.BytesIO(drawn(COLOURS["acme"])), "me.png")}
        assert ben["acme"].post("/preferences/profile/picture", data).status_code == 503
    assert ben["globex"].get(AVATAR).status_code == 200
