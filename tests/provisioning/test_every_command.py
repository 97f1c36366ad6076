"""Every command that changes a tenant leaves its entries in the tenant's own activity log, or stands in a list here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from unittest.mock import patch

import click
import pytest
from sqlalchemy import select

from extranet.activity.changes import Change
from extranet.activity.operations import activity_journal, read_all
from extranet.models import security_event_table
from extranet.models.base import utc_now
from extranet.security_log.operations import journal
from provisioning.cli import extranet
from provisioning.console import HISTORY
from tenants import rotation
from tenants.databases import TenantSession
from tenants.settings import read_settings
from tenants.tenancy import Tenancy
from tests.console import Console, create_arguments
from tests.extranet.factors import set_up_app
from tests.extranet.support import grant, staff
from tests.platform import PASSWORD, open_platform

NO_CHANGE = {
    "backup create": "Reads; which backups there are is in the operators' registry and journal.",
    "backup list": "Reads.",
    "backup verify": "Reads.",
    "doctor": "Reads.",
    "fleet backup": "Reads; which backups there are is in the operators' registry and journal.",
    "fleet migrate": "Changes how things are kept, and nothing that anybody keeps.",
    "fleet status": "Reads.",
    "fleet verify": "Reads.",
    "host add": "Which hosts lead here is in the operators' registry and journal.",
    "host list": "Reads.",
    "host remove": "Which hosts lead here is in the operators' registry and journal.",
    "init": "There is no tenant yet.",
    "log export": "Looking is no change; it is in the security log.",
    "log show": "Looking is no change; it is in the security log.",
    "log verify": "Reads.",
    "nginx check": "Reads.",
    "nginx write": "Concerns the web server.",
    "serve": "Changes nothing itself.",
    "server add": "Concerns no tenant.",
    "server list": "Reads.",
    "server remove": "Concerns no tenant.",
    "staff add": "Concerns no tenant.",
    "staff commit": "Concerns no tenant.",
    "staff list": "Reads.",
    "staff train": "Concerns no tenant.",
    "support list": "Reads.",
    "tenant list": "Reads.",
    "tenant purge": "Nothing is left that could say so; it is in the operators' journal.",
    "tenant show": "Reads.",
    "user list": "Reads.",
    "user reset-password": "Only a mail; the new password is noted when it is chosen.",
    "worker": "Sends mails.",
}
"""Commands that leave no entry, and why."""


def told(*arguments: str, stdin: str = "") -> Callable[[Console], None]:
    return lambda console: console.done(*arguments, stdin=stdin) and None  # type: ignore[func-returns-value]


def after(first: Callable[[Console], None], then: Callable[[Console], None]) -> Callable[[Console], None]:
    """What is done before the entries are counted is marked by the first call."""

    def both(console: Console) -> None:
        first(console)
        console.environment["_COUNTED"] = str(len(changes_of(console, "acme")))
        then(console)

    return both


def long_after(then: Callable[[Console], None]) -> Callable[[Console], None]:
    """What is there when a command is run, more than a year later, is old and goes."""

    def later(console: Console) -> None:
        console.environment["_COUNTED"] = "0"
        with patch("extranet.models.base.utc_now", lambda: utc_now() + timedelta(days=370)):
            then(console)

    return later


def with_app(console: Console) -> None:
    platform = open_platform(console.home)
    set_up_app(platform.signed_in("acme", "ben"))
    platform.close()


def with_staff(console: Console) -> None:
    platform = open_platform(console.home)
    staff(platform)
    platform.close()


def with_grant(console: Console) -> None:
    platform = open_platform(console.home)
    staff(platform)
    grant(platform)
    platform.close()


BEN = ("acme", "ben")
OLGA = ("acme", "--as", "olga")
MADE = ("--email", "nina@acme.example", "--first-name", "Nina", "--last-name", "New")
CREATED = [Change.USER_CREATED]

COMMANDS: dict[str, tuple[Callable[[Console], None], str, list[Change]]] = {
    "backup restore": (
        after(told("backup", "create", "acme"), told("backup", "restore", "acme", "--yes-i-mean", "acme")),
        "acme",
        [Change.RESTORED],
    ),
    "demo": (told("demo", "zoe"), "zoe", [*CREATED, Change.PASSWORD_CHANGED] * 2),
    "fleet rotate-keys": (told("fleet", "rotate-keys"), "acme", [Change.KEYS_ROTATED]),
    "staff remove": (after(with_grant, told("staff", "remove", "olga")), "acme", [Change.SUPPORT_ENDED]),
    "support ask": (
        after(with_staff, told("support", "ask", *OLGA, "--reason", "Ticket 4711: a page stays empty")),
        "acme",
        [Change.SUPPORT_ASKED],
    ),
    "support end": (after(with_grant, told("support", "end", *OLGA)), "acme", [Change.SUPPORT_ENDED]),
    "support open": (after(with_grant, told("support", "open", *OLGA)), "acme", [Change.SUPPORT_LINK_MADE]),
    "tenant clone": (told("tenant", "clone", "acme", "twin"), "twin", [Change.TENANT_CLONED]),
    "tenant close": (told("tenant", "close", "acme"), "acme", [Change.TENANT_STATE_CHANGED]),
    "tenant create": (told(*create_arguments("zoe")), "zoe", [*CREATED, Change.USER_INVITED]),
    "tenant logout-all": (told("tenant", "logout-all", "acme"), "acme", [Change.ALL_SIGNED_OUT]),
    "log prune": (long_after(told("log", "prune", "acme")), "acme", [Change.LOG_PRUNED]),
    # There is no other server here: tests/provisioning/test_both_journals.py moves one.
    "tenant move": (told("tenant", "move", "acme", "--to", "embedded"), "acme", []),
    "tenant rename": (told("tenant", "rename", "acme", "apex"), "apex", [Change.TENANT_RENAMED]),
    "tenant reopen": (
        after(told("tenant", "close", "acme"), told("tenant", "reopen", "acme")),
        "acme",
        [Change.TENANT_STATE_CHANGED],
    ),
    "tenant resume": (
        after(told("tenant", "suspend", "acme"), told("tenant", "resume", "acme")),
        "acme",
        [Change.TENANT_STATE_CHANGED],
    ),
    "tenant rotate-keys": (told("tenant", "rotate-keys", "acme"), "acme", [Change.KEYS_ROTATED]),
    "tenant suspend": (told("tenant", "suspend", "acme"), "acme", [Change.TENANT_STATE_CHANGED]),
    "user create": (told("user", "create", "acme", "nina", *MADE), "acme", [*CREATED, Change.USER_INVITED]),
    "user disable": (told("user", "disable", *BEN), "acme", [Change.USER_DISABLED]),
    "user enable": (
        after(told("user", "disable", *BEN), told("user", "enable", *BEN)),
        "acme",
        [Change.USER_ENABLED],
    ),
    "user invite": (
        after(told("user", "create", "acme", "nina", *MADE), told("user", "invite", "acme", "nina")),
        "acme",
        [Change.USER_INVITED],
    ),
    "user reset-factors": (
        after(with_app, told("user", "reset-factors", *BEN, "--yes-i-mean", "ben")),
        "acme",
        [Change.FACTORS_RESET],
    ),
    "user set-password": (
        told("user", "set-password", *BEN, stdin="seven purple kettles sing at noon\n"),
        "acme",
        [Change.PASSWORD_CHANGED],
    ),
    "user unlock": (told("user", "unlock", *BEN), "acme", [Change.USER_UNLOCKED]),
}
"""By command: what runs it, whose log it writes to, and the entries it leaves there."""


@pytest.fixture(autouse=True)
def _nobody_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_SETTLE_SECONDS", 0)


def commands_under(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands_under(found, (*path, name))


def changes_of(console: Console, slug: str) -> list[str]:
    with Tenancy.open(read_settings(console.environment), HISTORY) as tenancy:
        if slug not in {tenant.slug for tenant in tenancy.registry.all()}:
            return []
        with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
            assert_both_hold(db)
            entries = list(read_all(db))
    for entry in entries:
        assert PASSWORD not in repr(entry)
        assert "command line" not in repr(entry)
    return [entry.event for entry in entries]


def assert_both_hold(db: TenantSession) -> None:
    for log in (journal, activity_journal):
        log(db.info["keys"]).verify(db)


def test_every_command_is_listed() -> None:
    there_are = set(commands_under(extranet))
    unknown = there_are - set(COMMANDS) - set(NO_CHANGE)
    assert not unknown, (
        f"{sorted(unknown)}: give what they change to note_change() (see provisioning/telling.py) and add them to "
        "COMMANDS here, with a way to run them and the entries they leave; or to NO_CHANGE, with the reason."
    )
    assert set(COMMANDS) <= there_are
    assert not set(COMMANDS) & set(NO_CHANGE)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_leaves_its_entries_in_its_tenants_log(console: Console, command: str) -> None:
    run, slug, expected = COMMANDS[command]
    before, elsewhere = len(changes_of(console, "acme")), changes_of(console, "globex")
    run(console)
    counted = console.environment.pop("_COUNTED", "")
    known = int(counted) if counted else before
    added = changes_of(console, slug)[known if slug in {"acme", "apex", "twin"} else 0 :]
    assert added == [change.value for change in expected]
    rotated = [Change.KEYS_ROTATED.value] if command == "fleet rotate-keys" else []
    assert changes_of(console, "globex") == elsewhere + rotated


def test_doing_it_once_more_leaves_no_second_entry(console: Console) -> None:
    before = len(changes_of(console, "acme"))
    for verb in ("suspend", "suspend", "resume", "resume"):
        console.done("tenant", verb, "acme")
    assert changes_of(console, "acme")[before:] == [Change.TENANT_STATE_CHANGED] * 2


def test_what_operators_did_is_said_with_what_was_before(console: Console) -> None:
    console.done("tenant", "rename", "acme", "apex")
    console.done("tenant", "suspend", "apex")
    console.done("tenant", "close", "apex")
    platform = open_platform(console.home)
    with platform.db("apex", writing=False) as db:
        entries = list(read_all(db))[-3:]
        events = db.execute(select(security_event_table.c.event)).scalars().all()[-3:]
    platform.close()
    assert [(entry.actor, entry.subject, entry.private["before"], entry.private["after"]) for entry in entries] == [
        ("operator", "tenant", {"slug": "acme"}, {"slug": "apex"}),
        ("operator", "tenant", {"state": "active"}, {"state": "suspended"}),
        ("operator", "tenant", {"state": "suspended"}, {"state": "closed"}),
    ]
    assert events == ["tenant_renamed", "tenant_suspended", "tenant_closed"]


def test_a_tenant_whose_database_is_gone_is_suspended_all_the_same(console: Console) -> None:
    from tests.provisioning.test_log import database_of

    database_of(console, "acme").unlink()
    assert "is suspended" in console.done("tenant", "suspend", "acme").stdout
