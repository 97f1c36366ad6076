"""One password tried on everybody: no account's own limit sees it, the tenant's and the platform's do."""

from __future__ import annotations

import io
import json
import threading
import time
from datetime import timedelta

import pytest
import time_machine

from extranet.accounts import limits
from extranet.errors import NoSlot
from extranet.request import log
from tests.browser import Browser
from tests.extranet.world import count_verifications, log_of, names, try_sign_in
from tests.platform import BOTH, PASSWORD, Platform


def spray(platform: Platform, count: int, slug: str = "acme", network: int = 0) -> list[int]:
    """One attempt each on so many names, from as many addresses."""
    return [
        try_sign_in(platform.browser(slug, address=f"10.{network}.{number}.1"), f"{slug}{network}-{number}").status_code
        for number in range(count)
    ]


def in_crowd(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note of every verification from now on whether it was one of far too many."""
    noted: list[bool] = []
    verify = platform.passwords.verify

    def noting(*given: object, in_crowd: bool = False) -> bool:
        noted.append(in_crowd)
        return verify(*given, in_crowd=in_crowd)  # type: ignore[arg-type]

    monkeypatch.setattr(platform.passwords, "verify", noting)
    return noted


@pytest.mark.repeats
@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_a_tenant_s_hundredth_failure_is_an_alarm_and_the_rest_wait_in_line(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, slug: str
) -> None:
    noted = in_crowd(platform, monkeypatch)
    assert set(spray(platform, 103, slug)) == {422}
    assert noted == [False] * 100 + [True] * 3
    flooded = [entry for entry in log_of(platform, slug) if entry.event == "sign_ins_flooded"]
    assert [(entry.actor, entry.subject, entry.outcome) for entry in flooded] == [("anonymous", "everybody", "refused")]
    other = {"acme": "globex", "globex": "acme"}[slug]
    assert "sign_ins_flooded" not in names(log_of(platform, other))
    assert try_sign_in(platform.browser(other, address="10.9.9.9"), "anna", PASSWORD).status_code == 303
    assert noted[-1] is False, "the other tenant's people do not stand in that line"


def test_a_large_tenant_has_ten_failures_for_each_of_its_people() -> None:
    class Keys:
        def mac(self, purpose: str, message: bytes) -> bytes:
            return message

    assert limits.tenant_limits(Keys(), 3)[0].attempts == 100  # type: ignore[arg-type]
    assert limits.tenant_limits(Keys(), 250)[0].attempts == 2500  # type: ignore[arg-type]


def test_in_a_flood_whoever_is_known_is_let_in_as_ever(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_TENANT_ATTEMPTS", 3)
    monkeypatch.setattr(limits, "_TENANT_ATTEMPTS_A_PERSON", 0)
    owner = platform.signed_in()
    owner.post("/logout")
    noted = in_crowd(platform, monkeypatch)
    spray(platform, 5)
    owner.sign_in("anna", PASSWORD)
    assert noted == [False, False, False, True, True, False]
    assert try_sign_in(platform.browser(address="10.9.9.9"), "ben", PASSWORD).status_code == 303, "later, but let in"


@BOTH
def test_what_succeeds_or_found_no_slot_is_no_part_of_a_flood(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_TENANT_ATTEMPTS", 3)
    monkeypatch.setattr(limits, "_TENANT_ATTEMPTS_A_PERSON", 0)
    monkeypatch.setattr("extranet.accounts.passwords._SLOT_WAIT_SECONDS", 0.01)
    for number in range(6):
        platform.browser(address=f"10.1.{number}.1").sign_in("anna", PASSWORD)
    with platform.passwords._slot():
        assert set(spray(platform, 6)) == {503}
    noted = in_crowd(platform, monkeypatch)
    spray(platform, 3, network=1)
    assert noted == [False] * 3


def test_a_flood_is_over_after_a_quarter_of_an_hour(
    platform: Platform, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_TENANT_ATTEMPTS", 3)
    monkeypatch.setattr(limits, "_TENANT_ATTEMPTS_A_PERSON", 0)
    noted = in_crowd(platform, monkeypatch)
    spray(platform, 4)
    clock.shift(timedelta(minutes=15, seconds=1))
    spray(platform, 1, network=1)
    assert noted == [False, False, False, True, False]


def test_a_flood_over_all_tenants_is_told_to_the_operator_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    log.configure()
    addresses = platform.app.extensions["extranet"].addresses
    monkeypatch.setattr(addresses, "_everywhere", limits.Limit(bytes(32), 4, 300))
    noted = in_crowd(platform, monkeypatch)
    for network in range(3):
        spray(platform, 1, "acme", network)
        spray(platform, 1, "globex", network)
    assert noted == [False] * 4 + [True] * 2
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    alarms = [line for line in lines if line["event"] == "sign-ins"]
    assert [(line["level"], line["why"]) for line in alarms] == [("warning", "far too many fail, over all tenants")]
    assert "10.0.0" not in written.getvalue()


def test_a_crowd_shares_one_slot_and_leaves_the_others_free(platform: Platform) -> None:
    passwords = platform.passwords
    hasher = count_verifications(platform)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with passwords._crowd():
            entered.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(10)
    with platform.db("acme", writing=False) as db:
        keys = db.info["keys"]
        assert passwords.verify(keys, "somebody", b"", "x") is False
    assert hasher.verified == 1
    leave.set()
    holder.join()


def test_a_crowd_has_two_in_a_process_and_turns_the_third_away_at_once(platform: Platform) -> None:
    passwords = platform.passwords
    with platform.db("acme", writing=False) as db, passwords._crowd():
        keys = db.info["keys"]
        waiting = threading.Thread(target=_swallow, args=(passwords, keys))
        waiting.start()
        while passwords._crowd_queue._value:
            time.sleep(0.001)
        started = time.monotonic()
        with pytest.raises(NoSlot):
            passwords.verify(keys, "somebody", b"", "x", in_crowd=True)
        assert time.monotonic() - started < 1
        waiting.join()


def _swallow(passwords: object, keys: object) -> None:
    with pytest.raises(NoSlot):
        passwords.verify(keys, "somebody", b"", "x", in_crowd=True)  # type: ignore[attr-defined]


@pytest.mark.repeats
def test_the_customers_of_one_provider_s_network_have_ten_times_as_much_together(platform: Platform) -> None:
    def visitor(number: int) -> Browser:
        return platform.browser(address=f"2001:db8:7:{number:x}::1")

    statuses = [try_sign_in(visitor(number // 20), f"nobody{number}").status_code for number in range(201)]
    assert statuses == [422] * 200 + [429]
    assert try_sign_in(visitor(99), "anna", PASSWORD).status_code == 429
    assert try_sign_in(platform.browser(address="2001:db8:8::1"), "anna", PASSWORD).status_code == 303


def test_a_customer_of_ipv6_has_as_much_as_one_of_ipv4(platform: Platform) -> None:
    statuses = [
        try_sign_in(platform.browser(address=f"2001:db8:7:1::{number:x}"), f"nobody{number}").status_code
        for number in range(21)
    ]
    assert statuses == [422] * 20 + [429]


def test_success_from_a_known_browser_opens_the_account_to_others_again(platform: Platform) -> None:
    owner = platform.signed_in()
    owner.post("/logout")
    for number in range(6):
        try_sign_in(platform.browser(address=f"10.2.{number}.1"))
    assert try_sign_in(platform.browser(address="10.2.9.1"), "anna", PASSWORD).status_code == 429
    owner.sign_in("anna", PASSWORD)
    assert try_sign_in(platform.browser(address="10.2.9.1"), "anna", PASSWORD).status_code == 303
