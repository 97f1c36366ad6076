"""What happens to accounts when no form is in between: created, shut, opened, unlocked; and how moments are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import update
from sqlalchemy.exc import StatementError

from extranet.accounts import operations, passwords
from extranet.accounts.operations import NewUser
from extranet.accounts.passwords import Cost, Passwords
from extranet.errors import Invalid, NotFound
from extranet.models import User, UserState
from extranet.security_log.origin import OPERATOR
from tests.extranet.world import count_verifications, events_after, names, row_of, try_sign_in
from tests.platform import OPERATOR_ORIGIN, PASSWORD, Platform, user_id


def create(platform: Platform, username: str, email: str, first_name: str = "Zoe", last_name: str = "Z") -> User:
    with platform.db("acme") as db:
        return operations.create_user(db, NewUser(username, email, first_name, last_name), OPERATOR_ORIGIN, OPERATOR)


@pytest.mark.parametrize(
    ("username", "email", "field"),
    [
        ("anna", "new@acme.example", "username"),
        ("ANNA", "new@acme.example", "username"),
        ("zoe", "Anna@acme.example", "email"),
        ("z", "new@acme.example", "username"),
        ("zoe", "nowhere", "email"),
    ],
)
def test_a_taken_or_malformed_name_is_refused(platform: Platform, username: str, email: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        create(platform, username, email)
    assert caught.value.field == field


def test_a_new_account_speaks_its_company_s_language_and_opens_nothing(platform: Platform) -> None:
    user = create(platform, "zoe", "zoe@acme.example")
    assert (user.state, user.password, user.language, user.time_zone) == ("invited", b"", "en", "Europe/Paris")
    assert user.name == "Zoe Z"
    with platform.db("globex", writing=False) as db, pytest.raises(NotFound):
        operations.find_user(db, "zoe")


def test_the_last_administrator_cannot_be_shut_out(platform: Platform) -> None:
    with platform.db("acme") as db:
        anna = operations.find_user(db, "anna")
        with pytest.raises(Invalid, match="last active administrator"):
            operations.disable_user(db, anna, OPERATOR_ORIGIN, OPERATOR)
        operations.find_user(db, "ben").role = "admin"
        db.flush()
        operations.disable_user(db, anna, OPERATOR_ORIGIN, OPERATOR)
    assert row_of(platform).state == UserState.DISABLED


def test_shutting_and_opening_twice_is_recorded_once(platform: Platform) -> None:
    def twice(act) -> None:
        with platform.db("acme") as db:
            ben = operations.find_user(db, "ben")
            act(db, ben, OPERATOR_ORIGIN, OPERATOR)
            act(db, ben, OPERATOR_ORIGIN, OPERATOR)

    assert names(events_after(platform, lambda: twice(operations.disable_user))) == ["user_disabled"]
    assert try_sign_in(platform.browser(), "ben", PASSWORD).status_code == 422
    assert names(events_after(platform, lambda: twice(operations.enable_user))) == ["user_enabled"]
    assert try_sign_in(platform.browser(), "ben", PASSWORD).status_code == 303


def test_an_old_hash_is_renewed_later_when_all_slots_are_busy(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_SLOT_WAIT_SECONDS", 0.01)
    old = Passwords(Cost(time=1, memory=16, lanes=1), slots=1)
    with platform.db("acme") as db:
        stored = old.hash(db.info["keys"], user_id("anna"), PASSWORD)
        db.execute(update(User).where(User.id == user_id("anna")).values(password=stored))
    verify = platform.passwords.verify
    count_verifications(platform)
    taken = []

    def verify_then_take(*arguments: object, **named: object) -> bool:
        matches = verify(*arguments, **named)
        slot = platform.passwords._slot()
        slot.__enter__()
        taken.append(slot)
        return matches

    monkeypatch.setattr(platform.passwords, "verify", verify_then_take)
    assert try_sign_in(platform.browser(), "anna", PASSWORD).status_code == 303
    taken[0].__exit__(None, None, None)
    assert row_of(platform).password == stored


def test_a_moment_is_stored_in_utc_and_a_naive_one_is_refused(platform: Platform) -> None:
    noon = datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    with platform.db("acme") as db:
        db.get_one(User, user_id("anna")).password_changed_at = noon
    stored = row_of(platform).password_changed_at
    assert stored == noon
    assert stored is not None
    assert stored.tzinfo is UTC
    naive = noon.replace(tzinfo=None)
    with platform.db("acme", writing=False) as db:
        db.get_one(User, user_id("anna")).password_changed_at = naive
        with pytest.raises(StatementError, match="naive"):
            db.flush()
