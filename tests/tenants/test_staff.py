"""The operator's staff: whoever did not sign, was not trained or left is let in nowhere."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from tenants.errors import BadStaff, NoSuchStaff, StaffNotReady, StaffTaken
from tenants.staff import Staff, is_over_a_year_ago
from tests.platform import Platform

NOW = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)
TODAY = NOW.date()


@pytest.fixture
def staff(platform: Platform) -> Staff:
    return platform.tenancy.staff


def test_somebody_is_ready_once_they_signed_and_were_trained_and_until_they_left(staff: Staff) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        added = staff.add("olga.o-9", "Olga Ops", "olga@ops.example")
        assert list(added.lacks()) == ["no signed confidentiality commitment", "no training in data protection"]
        with pytest.raises(StaffNotReady, match=r"olga\.o-9 may not enter"):
            added.check_ready()
        staff.commit("olga.o-9", TODAY, " version 3, folder HR/7 ")
        ready = staff.train("olga.o-9", TODAY - timedelta(days=30))
        ready.check_ready()
        assert (ready.committed_on, ready.commitment) == (TODAY, "version 3, folder HR/7")
        assert not ready.is_to_be_reviewed()
        clock.shift(timedelta(days=366))
        assert "more than 12 months ago" in next(staff.by_name("olga.o-9").lacks())
        assert staff.by_name("olga.o-9").is_to_be_reviewed()
        gone = staff.remove("olga.o-9")
        assert list(gone.lacks()) == ["left on 2027-12-02"]
        assert not gone.is_to_be_reviewed()
        assert staff.all() == [gone]
    for change in (lambda: staff.remove("olga.o-9"), lambda: staff.train("olga.o-9", date(2026, 1, 2))):
        with pytest.raises(NoSuchStaff):
            change()
    with pytest.raises(StaffTaken):
        staff.add("olga.o-9", "Another Olga", "olga@ops.example")
    with pytest.raises(NoSuchStaff):
        staff.by_name("nobody")


@pytest.mark.parametrize(
    ("name", "full_name", "email"),
    [
        *((name, "Olga", "o@ops.example") for name in ("", "Olga", "9olga", "o" * 25, "olga:x", "ol ga", "olga\n")),
        *(("olga", full_name, "o@ops.example") for full_name in ("", " ", "O" * 101, "Ol\nga")),
        *(("olga", "Olga", email) for email in ("", "olga", "olga@", "o@x\n", "o@" + "x" * 253)),
    ],
)
def test_what_makes_no_sense_is_not_noted(staff: Staff, name: str, full_name: str, email: str) -> None:
    with pytest.raises(BadStaff):
        staff.add(name, full_name, email)
    assert staff.all() == []


def test_nothing_is_noted_before_it_happened_nor_without_saying_where_it_is_filed(staff: Staff) -> None:
    staff.add("olga", "Olga", "o@ops.example")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    for change in (
        lambda: staff.commit("olga", tomorrow, "version 3"),
        lambda: staff.train("olga", tomorrow),
        lambda: staff.commit("olga", TODAY - timedelta(days=60), " "),
    ):
        with pytest.raises(BadStaff):
            change()
    assert len(list(staff.by_name("olga").lacks())) == 2


def test_a_year_is_a_year_whatever_the_calendar() -> None:
    with time_machine.travel(datetime(2029, 3, 1, 12, tzinfo=UTC)):
        assert not is_over_a_year_ago(date(2028, 2, 29))
        assert not is_over_a_year_ago(date(2028, 3, 1))
        assert is_over_a_year_ago(date(2028, 2, 28))
    with time_machine.travel(datetime(2029, 3, 2, 12, tzinfo=UTC)):
        assert is_over_a_year_ago(date(2028, 2, 29))
