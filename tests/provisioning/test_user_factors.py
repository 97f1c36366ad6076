"""extranet user reset-factors: the way back for somebody who has lost everything but the password."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from extranet.activity.operations import activity_journal
from extranet.models import Mail, Passkey, RecoveryCode, Totp
from extranet.models.activity import activity_table
from tests.console import Console
from tests.extranet.factors import Equipped, add_passkey, is_signed_in, set_up_app
from tests.extranet.world import log_of
from tests.platform import PASSWORD, open_platform, user_id

BEN = user_id("ben")


@pytest.fixture
def held(console: Console) -> Equipped:
    """Ben of acme and Ben of globex, each with an app and a passkey."""
    platform = open_platform(console.home)
    for slug in ("globex", "acme"):
        browser = platform.signed_in(slug, "ben")
        held = set_up_app(browser)
        add_passkey(browser)
    platform.close()
    return held


def test_factors_are_taken_away_told_and_recorded_and_the_password_alone_signs_in(
    console: Console, held: Equipped
) -> None:
    answer = console.done("user", "reset-factors", "acme", "ben", "--yes-i-mean", "ben")
    assert answer.stdout.startswith("The second factors and recovery codes of ben are gone;")
    platform = open_platform(console.home)
    with platform.db("acme", writing=False) as db:
        for table in (Totp, Passkey, RecoveryCode):
            assert db.scalars(select(table)).all() == []
        assert [mail.kind for mail in db.scalars(select(Mail).where(Mail.kind == "factors_reset"))] == ["factors_reset"]
        entries = list(activity_journal(db.info["keys"]).read(iter(db.execute(select(activity_table)).all())))
        assert [entry.event for entry in entries if entry.event == "factors_reset"] == ["factors_reset"]
    entry = next(entry for entry in log_of(platform) if entry.event == "factors_reset")
    assert (entry.actor, entry.subject, entry.details["factors"]) == ("operator", BEN, 2)
    assert is_signed_in(platform.signed_in("acme", "ben"))
    # The other Ben keeps his.
    theirs = platform.browser("globex").post("/login", {"username": "ben", "password": PASSWORD})
    assert theirs.headers["Location"] == "/login/second-step"
    platform.close()
    assert held.codes


def test_json_says_how_many_and_again_changes_nothing(console: Console, held: Equipped) -> None:
    arguments = ("user", "reset-factors", "acme", "ben", "--yes-i-mean", "ben", "--json")
    assert console.done(*arguments).document == {"username": "ben", "removed": 2}
    assert console.done(*arguments).document == {"username": "ben", "removed": 0}
    again = console.done("user", "reset-factors", "acme", "ben")
    assert again.stdout == "ben has no second factor; nothing was changed.\n"
    assert held.codes


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["acme", "ben"], "ben was not named once more; nothing was changed."),
        (["acme", "ben", "--yes-i-mean", "acme"], "ben was not named once more; nothing was changed."),
        (["acme", "nobody", "--yes-i-mean", "nobody"], "There is no user 'nobody'."),
    ],
)
def test_what_is_not_meant_changes_nothing(
    console: Console, held: Equipped, arguments: list[str], sentence: str
) -> None:
    assert console.run("user", "reset-factors", *arguments).refusal.startswith(sentence)
    platform = open_platform(console.home)
    with platform.db("acme", writing=False) as db:
        assert len(db.scalars(select(Passkey)).all()) == 1
    platform.close()
    assert held.codes
