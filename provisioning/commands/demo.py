"""extranet demo: a tenant to try things out."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from extranet.security_log.origin import OPERATOR
from provisioning.console import Console, verb
from tenants.errors import BadSettings, NoSuchTenant
from tenants.tenant import State, parse_slug

if TYPE_CHECKING:
    from tenants.databases import TenantSession

# The same usernames in every demo tenant: that they are different people is what there is to see.
_PEOPLE = (("anna", "Anna", "Martin", "admin"), ("ben", "Ben", "Peeters", "member"))
_WORDS = """
    amber anchor apple basin birch candle canvas cedar copper coral cotton delta ember falcon feather fern forest
    garden ginger harbor hazel island ivory jasmine kettle lantern lemon linen maple marble meadow mirror nutmeg
    ocean olive orbit paper pebble pepper pine planet quartz raven ribbon river saddle saffron silver sparrow spruce
    summer thunder timber velvet violet walnut willow winter
"""


@click.command("demo")
@click.argument("slug")
@verb(changes=True)
def command(console: Console, slug: str) -> None:
    """Make a tenant with two people and random passwords, and print them. On localhost only. Run again, it keeps it.

    \b
    Example:
      extranet demo acme
    """
    if not console.settings.is_local:
        raise BadSettings("Demo tenants have their passwords in a file; they are made on localhost only.")
    notes = console.settings.home / "demo" / f"{parse_slug(slug)}.json"
    if not _exists(console, slug):
        _make(console, slug, notes)
    people = json.loads(notes.read_text(encoding="utf-8")) if notes.exists() else []
    url = console.settings.origin(console.settings.host_of(slug))
    console.say(
        {"slug": slug, "url": url, "people": people},
        url,
        *(f"  {person['username']:<6} {person['password']:<40} ({person['role']})" for person in people),
        *(() if people else (f"It was there before and is not a demo. Who is in it: extranet user list {slug}",)),
    )


def _exists(console: Console, slug: str) -> bool:
    try:
        return console.tenancy.registry.by_slug(slug).state is not State.PROVISIONING
    except NoSuchTenant:
        return False


def _make(console: Console, slug: str, notes: Path) -> None:
    from extranet.accounts.founding import found_tenant
    from extranet.accounts.operations import NewUser, create_user, set_password
    from extranet.accounts.passwords import command_line_passwords
    from extranet.models import Role
    from tenants.lifecycle import create_tenant

    people = [{"username": username, "password": _passphrase(), "role": role} for username, _, _, role in _PEOPLE]

    def prepare(db: TenantSession) -> None:
        for (username, first_name, last_name, role), person in zip(_PEOPLE, people, strict=True):
            new = NewUser(username, f"{username}@{slug}.example", first_name, last_name, Role(role))
            if role == Role.ADMIN:
                user = found_tenant(db, slug.capitalize(), "en", new, console.origin)
            else:
                user = create_user(db, new, console.origin, OPERATOR)
            set_password(db, command_line_passwords(), user, person["password"], console.origin, OPERATOR)
        # Before the tenant is served: one whose passwords nobody knows would be of no use. And only once the slug is
        # ours: the file may hold the passwords of a demo that was renamed.
        _write_notes(notes, json.dumps(people, indent=2))

    create_tenant(console.tenancy, slug, slug.capitalize(), prepare)


def _write_notes(notes: Path, text: str) -> None:
    notes.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _passphrase() -> str:
    words = _WORDS.split()
    return "-".join(secrets.choice(words) for _ in range(5))
