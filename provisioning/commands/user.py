"""extranet user: people in a tenant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy import select

from extranet.accounts import operations
from extranet.accounts.passwords import command_line_passwords
from extranet.models import Role, User
from extranet.security_log.origin import OPERATOR
from provisioning.console import Console, read_secret, verb
from tenants.databases import TenantSession


@click.group("user")
def command() -> None:
    """Create, list, invite, disable, enable and unlock people; set their password."""


@command.command()
@click.argument("slug")
@click.argument("username")
@click.option("--email", required=True)
@click.option("--first-name", required=True)
@click.option("--last-name", required=True)
@click.option("--role", default="member", type=click.Choice(list(Role)), show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read a password from standard input instead of inviting.")
@verb(changes=True)
def create(
    console: Console,
    slug: str,
    username: str,
    email: str,
    first_name: str,
    last_name: str,
    role: str,
    password_stdin: bool,
) -> None:
    """Create a user, who chooses a password by a link, once and within 7 days.

    \b
    Example:
      extranet user create acme ben --email ben@acme.example --first-name Ben --last-name Bright
    """
    password = read_secret("Password") if password_stdin else ""
    with _changing(console, slug) as db:
        new = operations.NewUser(username, email, first_name, last_name, Role(role))
        user = operations.create_user(db, new, console.origin, OPERATOR)
        if password:
            operations.set_password(db, command_line_passwords(), user, password, console.origin, OPERATOR)
            link = ""
        else:
            link = _link(console, slug, operations.invite(db, user, console.origin, OPERATOR))
    console.say(
        {**_document(user), "invitation": link}, f"{user.username} is a {user.role} of {slug}.", *_link_lines(link)
    )


@command.command("list")
@click.argument("slug")
@verb()
def list_users(console: Console, slug: str) -> None:
    """List a tenant's users.

    \b
    Example:
      extranet user list acme
    """
    tenancy = console.tenancy
    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        users = [_document(user) for user in db.scalars(select(User).order_by(User.username))]
    columns = ["username", "name", "email", "role", "state"]
    console.table(
        users,
        [column.capitalize() for column in columns],
        [[user[column] for column in columns] for user in users],
        "There is no user.",
    )


@command.command()
@click.argument("slug")
@click.argument("username")
@verb(changes=True)
def invite(console: Console, slug: str, username: str) -> None:
    """Make a new invitation link for a user without a password. Earlier links stop working.

    \b
    Example:
      extranet user invite acme ben
    """
    with _changing(console, slug) as db:
        user = operations.find_user(db, username)
        link = _link(console, slug, operations.invite(db, user, console.origin, OPERATOR))
    console.say({**_document(user), "invitation": link}, *_link_lines(link))


@command.command()
@click.argument("slug")
@click.argument("username")
@verb(changes=True)
def disable(console: Console, slug: str, username: str) -> None:
    """Shut an account: its logins and invitations end at once.

    \b
    Example:
      extranet user disable acme ben
    """
    with _changing(console, slug) as db:
        user = operations.find_user(db, username)
        operations.disable_user(db, user, console.origin, OPERATOR)
    console.say(
        _document(user),
        f"{user.username} is disabled. Open the account again with: extranet user enable {slug} {user.username}",
    )


@command.command()
@click.argument("slug")
@click.argument("username")
@verb(changes=True)
def enable(console: Console, slug: str, username: str) -> None:
    """Open a disabled account again.

    \b
    Example:
      extranet user enable acme ben
    """
    with _changing(console, slug) as db:
        user = operations.find_user(db, username)
        operations.enable_user(db, user, console.origin, OPERATOR)
    console.say(_document(user), f"{user.username} is {user.state}.")


@command.command()
@click.argument("slug")
@click.argument("username")
@verb(changes=True)
def unlock(console: Console, slug: str, username: str) -> None:
    """Forget the failed attempts against an account, so that its owner can sign in now.

    \b
    Example:
      extranet user unlock acme ben
    """
    with _changing(console, slug) as db:
        user = operations.find_user(db, username)
        operations.unlock_user(db, user, console.origin, OPERATOR)
    console.say(_document(user), f"The failed attempts against {user.username} are forgotten.")


@command.command("set-password")
@click.argument("slug")
@click.argument("username")
@verb(changes=True)
def set_password(console: Console, slug: str, username: str) -> None:
    """Set a user's password from standard input. All their logins end.

    \b
    Example:
      extranet user set-password acme ben < password.txt
    """
    password = read_secret("Password")
    with _changing(console, slug) as db:
        user = operations.find_user(db, username)
        operations.set_password(db, command_line_passwords(), user, password, console.origin, OPERATOR)
    console.say(_document(user), f"The password of {user.username} is set; all their logins have ended.")


@contextmanager
def _changing(console: Console, slug: str) -> Iterator[TenantSession]:
    tenancy = console.tenancy
    with tenancy.open_db(tenancy.registry.by_slug(slug), writing=True) as db:
        yield db
        db.commit()


def _document(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "email": user.email,
        "role": str(user.role),
        "state": str(user.state),
    }


def _link(console: Console, slug: str, token: str) -> str:
    return f"{console.settings.origin(console.settings.host_of(slug))}/invitation/{token}"


def _link_lines(link: str) -> tuple[str, ...]:
    return ("A password is chosen here, once and within 7 days:", f"  {link}") if link else ()
