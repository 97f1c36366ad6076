"""Rows that nobody needs any more go by themselves, a month after their end; what is good for something stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from extranet.accounts import recovery
from extranet.mail import sweeping
from extranet.mail.sweeping import Sweep
from extranet.models import Invitation, Login, OneTimeLink, PendingSignIn, UsedChallenge, User, throttle_table
from extranet.models.base import utc_now
from extranet.retention import rows
from tests.extranet.world import try_sign_in
from tests.platform import OPERATOR_ORIGIN, PASSWORD, Platform, user_id

KEPT_ON = ("sqlite", "postgresql")
TABLES: tuple[Any, ...] = (Invitation, OneTimeLink, Login, PendingSignIn, UsedChallenge)


def counts(platform: Platform, slug: str = "acme") -> dict[str, int]:
    with platform.db(slug, writing=False) as db:
        tables = [*(model.__table__ for model in TABLES), throttle_table]
        return {table.name: db.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}


def fill(platform: Platform, slug: str) -> None:
    """Leave one row or more of each kind."""
    platform.signed_in(slug)
    try_sign_in(platform.browser(slug), "nobody-of-this-name")
    platform.invite(slug, "nina")
    now = utc_now()
    with platform.db(slug) as db:
        recovery.start_reset(db, db.get_one(User, user_id("ben")), user_id("anna"), OPERATOR_ORIGIN)
        pending = {"user_id": user_id("ben"), "factors": "password", "expires_at": now}
        db.add(PendingSignIn(secret_hash=bytes(32), **pending))
        db.add(UsedChallenge(challenge_hash=bytes(32), at=int(now.timestamp())))


def swept_after(platform: Platform, monkeypatch: pytest.MonkeyPatch, **later: int) -> Sweep:
    moment = utc_now() + timedelta(**later)
    monkeypatch.setattr(sweeping, "utc_now", lambda: moment)
    sweep = Sweep(platform.tenancy)
    while sweep.some():
        pass
    return sweep


def test_what_ended_a_month_ago_goes_and_last_sign_ins_stay(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(platform, "acme")
    before = counts(platform)
    assert min(before.values()) > 0
    swept_after(platform, monkeypatch, hours=12)
    assert counts(platform) == before

    swept_after(platform, monkeypatch, days=29)
    after = counts(platform)
    assert (after["pending_sign_in"], after["used_challenge"]) == (0, 0)
    assert after["throttle"] < before["throttle"]
    kept = ("invitation", "one_time_link", "login")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}

    with platform.db("acme") as db:
        # This one is still good.
        anna = db.scalars(select(Login).where(Login.user_id == user_id("anna"))).one()
        anna.expires_at = utc_now() + timedelta(days=300)
    monkeypatch.setattr(rows, "BATCH", 1)
    swept_after(platform, monkeypatch, days=40)
    assert {name: counts(platform)[name] for name in kept} == {"invitation": 0, "one_time_link": 0, "login": 1}
    assert "Last sign-in" in platform.signed_in().get(f"/admin/people/{user_id('anna')}").text
    assert platform.browser().post("/login", {"username": "ben", "password": PASSWORD}).status_code == 303


def test_a_day_passes_before_they_are_looked_for_again(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = swept_after(platform, monkeypatch, days=1)
    fill(platform, "globex")
    monkeypatch.setattr(sweeping, "utc_now", lambda: utc_now() + timedelta(days=40))
    for _ in range(23):
        sweep._begins_at = 0.0
        sweep.some()
    assert counts(platform, "globex")["pending_sign_in"] == 1
    sweep._begins_at = 0.0
    sweep.some()
    assert counts(platform, "globex")["pending_sign_in"] == 0
