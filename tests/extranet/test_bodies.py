"""How much may be sent, and what becomes of the rest."""

from __future__ import annotations

import io

import pytest
from werkzeug.test import TestResponse

from tests.browser import Browser
from tests.extranet.world import DISPLAY, events_after, names
from tests.platform import Platform


class Counting(io.BytesIO):
    """A body that notes how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        self.taken += len(chunk)
        return chunk


def send(
    platform: Platform | None,
    body: Counting,
    length: str | None,
    path: str = "/preferences/display",
    content_type: str = "application/x-www-form-urlencoded",
    browser: Browser | None = None,
) -> TestResponse:
    browser = browser or platform.signed_in()
    headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
    environ = {"wsgi.input": body, "CONTENT_TYPE": content_type}
    if length is None:
        environ |= {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    else:
        environ |= {"CONTENT_LENGTH": length}
    return browser._open("POST", path, headers=headers, environ_overrides=environ)


def send_picture(browser: Browser, size: int) -> TestResponse:
    token = browser.token().encode()
    body = Counting(
        b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n' + token + b"\r\n"
        b'--x\r\nContent-Disposition: form-data; name="avatar"; filename="big.png"\r\n\r\n'
        + b"x" * size
        + b"\r\n--x--\r\n"
    )
    content_type = "multipart/form-data; boundary=x"
    return send(None, body, str(len(body.getvalue())), "/preferences/profile/picture", content_type, browser)


def test_a_body_over_the_limit_is_read_to_its_end_and_refused(platform: Platform) -> None:
    body = Counting(b"x" * 300_000)
    refused = send(platform, body, "300000")
    assert refused.status_code == 413
    assert "Too large" in refused.text
    assert body.taken == 300_000


def test_a_body_of_a_claimed_terabyte_is_not_read_for_ever(platform: Platform) -> None:
    class Endless(Counting):
        def read(self, size: int | None = -1) -> bytes:
            self.taken += size or 0
            return b"x" * (size or 0)

    body = Endless()
    assert send(platform, body, str(10**12)).status_code == 413
    assert body.taken == 64 * 1024 * 1024


def test_a_body_that_breaks_off_is_no_error(platform: Platform) -> None:
    assert send(platform, Counting(b"x" * 1000), "300000").status_code == 413


@pytest.mark.parametrize("length", ["300000", None])
def test_a_client_that_goes_while_its_body_is_thrown_away_is_no_error_of_ours(
    platform: Platform, length: str | None
) -> None:
    class Gone(Counting):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    assert send(platform, Gone(), length).status_code == 400


def test_a_body_in_chunks_is_read_to_its_end_and_refused(platform: Platform) -> None:
    """One over the limit was cut off there, and parsed as if it were whole."""
    for size in (10, 300_000):
        body = Counting(b"x=" + b"y" * size)
        assert send(platform, body, None).status_code == 411
        assert body.taken == size + 2


@pytest.mark.parametrize("length", ["-1", "abc", "", "1e3", "٣"])
def test_a_length_that_is_no_number_means_no_body(platform: Platform, length: str) -> None:
    assert send(platform, Counting(b"x"), length).status_code in {400, 403}


def test_a_body_of_too_many_parts_or_too_much_text_is_refused(platform: Platform) -> None:
    browser = platform.signed_in()
    many = {f"field{number}": "x" for number in range(200)}
    long = {"first_name": "x" * 200_000}
    for form in (many, long):
        assert browser.post("/preferences/display", form, content_type="multipart/form-data").status_code == 413
    assert browser.post("/preferences/display", DISPLAY).status_code == 303


@pytest.mark.parametrize("size", [3_000_000, 50_000_000])
def test_an_oversized_picture_is_refused_beside_its_field(platform: Platform, size: int) -> None:
    """The refusal came before anybody knew who was asking, and ended as a 500."""
    browser = platform.signed_in()
    answers = []
    recorded = events_after(platform, lambda: answers.append(send_picture(browser, size)))
    assert answers[0].status_code == 413
    assert "at most 2 MB" in answers[0].text
    assert "Your details" in answers[0].text
    assert names(recorded) == ["upload_refused"]


def test_an_oversized_picture_of_a_stranger_gets_a_page_of_its_own(platform: Platform) -> None:
    refused = send_picture(platform.browser(), 3_000_000)
    assert refused.status_code == 413
    assert "Too large" in refused.text
    assert "Your details" not in refused.text


def test_a_multipart_body_cut_short_or_malformed_is_refused_in_words(platform: Platform) -> None:
    browser = platform.signed_in()
    headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x", "text/plain", "\x00"):
        response = browser._open(
            "POST", "/preferences/display", data=b"--x\r\nbroken", headers=headers, content_type=content_type
        )
        assert response.status_code in {400, 403}
