"""A profile picture: nothing of the uploaded file is kept but its pixels."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from extranet.errors import Invalid
from extranet.preferences.pictures import LARGEST_BYTES, make_picture
from tests.browser import Browser
from tests.extranet.world import events_after, names, row_of
from tests.platform import Platform, user_id

PAGE = "/preferences/profile/picture"
AVATAR = f"/people/{user_id('anna')}/avatar"


def picture(kind: str = "PNG", size: tuple[int, int] = (300, 200), mode: str = "RGB", **options: object) -> bytes:
    encoded = io.BytesIO()
    Image.new(mode, size, 120 if mode in {"L", "P"} else (200, 30, 40, 255)[: len(mode)]).save(encoded, kind, **options)
    return encoded.getvalue()


def with_place() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "canary-description"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 24.0)
    return picture("JPEG", exif=exif)


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    encoded = io.BytesIO()
    frames[0].save(encoded, kind, save_all=True, append_images=frames[1:], duration=100)
    return encoded.getvalue()


def bomb(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def upload(browser: Browser, content: bytes, name: str = "me.png"):
    return browser.post(PAGE, {"avatar": (io.BytesIO(content), name)})


def files(platform: Platform, slug: str = "acme") -> list[Path]:
    return sorted((platform.settings.folder_of(platform.tenant(slug).uuid) / "files").glob("*"))


@pytest.mark.parametrize(
    "content",
    [
        picture("PNG"),
        picture("JPEG"),
        picture("WEBP"),
        picture("PNG", mode="RGBA"),
        picture("PNG", mode="L"),
        picture("PNG", mode="P"),
        picture("JPEG", mode="CMYK"),
        picture("PNG", size=(1, 1)),
        picture("PNG", size=(4000, 10)),
        animated("PNG"),
        animated("WEBP"),
        picture("PNG") + b"<script>alert(1)</script>",
    ],
    ids=["png", "jpeg", "webp", "rgba", "grey", "palette", "cmyk", "pixel", "wide", "apng", "awebp", "polyglot"],
)
def test_a_reasonable_picture_becomes_one_square_of_webp(content: bytes) -> None:
    made = make_picture(content)
    with Image.open(io.BytesIO(made)) as image:
        assert (image.format, image.size, getattr(image, "n_frames", 1)) == ("WEBP", (256, 256), 1)
    assert b"script" not in made


def test_place_description_and_orientation_are_gone(platform: Platform) -> None:
    content = with_place()
    assert b"canary-description" in content
    made = make_picture(content)
    with Image.open(io.BytesIO(made)) as image:
        assert not image.getexif()
        assert not {"exif", "icc_profile", "xmp"} & set(image.info)
    assert b"canary" not in made


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        picture("GIF", mode="P"),
        animated("GIF"),
        b"%PDF-1.7\n",
        b"<!doctype html><script>",
        b"GIF89a" + picture("PNG"),
        picture("BMP"),
        picture("TIFF"),
        picture("PNG")[:60],
        picture("JPEG")[:200],
        picture("WEBP")[:40],
        bomb(50_000, 50_000),
        bomb(4097, 1),
        bomb(10_000, 10_000),
        bomb(2**31 - 1, 2**31 - 1),
        bomb(4096, 4096),
        bytes(LARGEST_BYTES + 1),
    ],
    ids=range(19),
)
def test_anything_else_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        make_picture(content)
    assert caught.value.field == "avatar"
    assert "Error" not in caught.value.message


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    original=st.sampled_from([picture("PNG", (40, 30)), with_place(), picture("WEBP", (40, 30)), animated("WEBP")]),
    place=st.integers(0, 2000),
    patch=st.binary(min_size=1, max_size=12),
)
def test_a_damaged_file_is_a_picture_or_a_refusal(original: bytes, place: int, patch: bytes) -> None:
    place %= len(original)
    damaged = original[:place] + patch + original[place + len(patch) :]
    try:
        assert make_picture(damaged)[:4] == b"RIFF"
    except Invalid:
        return


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_a_picture_is_shown_to_colleagues_and_to_nobody_else(platform: Platform, slug: str) -> None:
    browser = platform.signed_in(slug)
    assert upload(browser, with_place()).status_code == 303
    assert "Your picture has been changed." in browser.get("/preferences/profile").text
    seen = platform.signed_in(slug, "gus").get(AVATAR)
    assert (seen.status_code, seen.mimetype) == (200, "image/webp")
    assert seen.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "inline" in seen.headers["Content-Disposition"]
    assert "private" in seen.headers["Cache-Control"]
    assert platform.browser(slug).get(AVATAR).status_code == 303
    other = "globex" if slug == "acme" else "acme"
    assert platform.signed_in(other).get(AVATAR).status_code == 404
    assert platform.signed_in(slug).get(f"/people/{user_id('ben')}/avatar").status_code == 404
    assert platform.signed_in(slug).get("/people/nobody/avatar").status_code == 404


def test_the_stored_file_is_sealed_and_the_old_one_goes(platform: Platform) -> None:
    browser = platform.signed_in()
    upload(browser, picture("PNG"))
    (first,) = files(platform)
    assert b"WEBP" not in first.read_bytes()
    upload(browser, picture("JPEG"))
    (second,) = files(platform)
    assert first != second
    assert browser.post(f"{PAGE}/remove").status_code == 303
    assert files(platform) == []
    assert row_of(platform).avatar == ""
    assert browser.post(f"{PAGE}/remove").status_code == 303
    assert browser.get(AVATAR).status_code == 404


def test_a_refused_picture_leaves_the_old_one_and_is_recorded(platform: Platform) -> None:
    browser = platform.signed_in()
    upload(browser, picture("PNG"))
    kept = files(platform)
    answers = []
    recorded = events_after(platform, lambda: answers.append(upload(browser, b"<svg/>", "../../x\u202egnp.svg")))
    assert answers[0].status_code == 422
    assert "not a PNG, JPEG or WebP" in answers[0].text
    assert names(recorded) == ["upload_refused"]
    assert "\u202e" not in recorded[0].details["file"]
    assert recorded[0].actor == user_id("anna")
    assert files(platform) == kept


def test_a_form_without_a_picture_is_refused(platform: Platform) -> None:
    browser = platform.signed_in()
    assert "Choose a picture first" in browser.post(PAGE).text
    assert browser.post(PAGE, {"avatar": "text"}).status_code == 422
    assert upload(browser, b"", "").status_code == 422


def test_a_picture_whose_file_is_gone_is_a_missing_page(platform: Platform) -> None:
    browser = platform.signed_in()
    upload(browser, picture("PNG"))
    files(platform)[0].unlink()
    assert browser.get(AVATAR).status_code == 404
    assert browser.get("/preferences/profile").status_code == 200
