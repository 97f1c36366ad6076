"""Flask's own session is off: whatever reaches for it fails loudly, and no cookie of it is ever sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import session

from tests.platform import Platform

USES: list[Callable[[], Any]] = [
    lambda: session["x"],
    lambda: session.__setitem__("x", 1),
    lambda: session.__delitem__("x"),
    lambda: "x" in session,
    lambda: list(session),
    lambda: session.get("x"),
    lambda: session.pop("x", None),
    lambda: session.setdefault("x", 1),
    lambda: session.update(x=1),
    lambda: session.clear(),
    lambda: session.keys(),
    lambda: session.values(),
    lambda: session.items(),
    lambda: session.permanent,
]


@pytest.mark.parametrize("use", USES, ids=range(len(USES)))
def test_every_use_raises(platform: Platform, use: Callable[[], Any]) -> None:
    platform.app.add_url_rule("/use", "use", lambda: str(use()))
    platform.app.view_functions["use"].is_public = True  # type: ignore[attr-defined]
    response = platform.browser().get("/use")
    assert response.status_code == 500
    assert "Set-Cookie" not in response.headers


def test_there_is_no_secret_key_for_anything_to_sign_with(platform: Platform) -> None:
    assert platform.app.secret_key is None


def test_flashing_a_message_raises_too(platform: Platform) -> None:
    from flask import flash

    platform.app.add_url_rule("/flash", "flash", lambda: str(flash("x")))
    platform.app.view_functions["flash"].is_public = True  # type: ignore[attr-defined]
    assert platform.browser().get("/flash").status_code == 500
