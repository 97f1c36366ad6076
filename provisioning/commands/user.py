"""extranet user: people in a tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from extranet.security_log.origin import OPERATOR, Origin
from provisioning.commands.user_factors import reset_factors
from provisioning.commands.user_passwords import reset_password, set_password
from provisioning.console import Console, read_secret, verb
from provisioning.people import changing, document

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from extranet.models import User

# As in extranet.models.Role, which would load SQLAlchemy for --help.
_ROLES = ("admin", "manager", "member", "guest")


@click.group("user")
def command() -> None:
    """Create, list, invite, disable, enable and unlock people; set their password."""


for subcommand in (reset_factors, reset_password, set_password):
    command.add_command(subcommand)


@command.command(short_help="Create a user, who chooses a password by a link.")
@click.argument("slug")
@click.argument("username")
@click.option("--email", required=True, help="The address mails go to; it also signs in.")
@click.option("--first-name", required=True, help="The first name.")
@click.option("--last-name", required=True, help="The last name.")
@click.option("--role", default="member", type=click.Choice(_ROLES), help="What they may do.", show_default=True)
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
    """Create a user, who chooses a password by a link, once and within 3 days.

    \b
    Example:
      extranet user create acme ben --email ben@acme.example \\
        --first-name Ben --last-name Bright
    """
    from extranet.accounts import invitations, operations
    from extranet.accounts.passwords import command_line_passwords
    from extranet.models import Role

    password = read_secret("Password") if password_stdin else ""
    with changing(console, slug) as db:
        new = operations.NewUser(username, email, first_name, last_name, Role(role))
        user = operations.create_user(db, new, console.origin, OPERATOR)
        if password:
            operations.set_password(db, command_line_passwords(), user, password, console.origin, OPERATOR)
            link = ""
        else:
            link = _link(console, slug, invitations.invite(db, user, console.origin, OPERATOR))
    console.say(
        {**document(user), "invitation": link},
        f"{user.username} is {_a(user.role)} of {slug}.",
        *(_link_lines(user, link) if link else (f"{user.username} can sign in with the password you gave.",)),
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
    from sqlalchemy import select

    from extranet.models import User

    tenancy = console.tenancy
    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        users = [document(user) for user in db.scalars(select(User).order_by(User.username))]
    columns = ["username", "name", "email", "role", "state"]
    console.table(
        users,
        [column.capitalize() for column in columns],
        [[user[column] for column in columns] for user in users],
        f"There is no user. Make one with: extranet user create {slug}",
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
    from extranet.accounts import invitations, operations

    with changing(console, slug) as db:
        user = operations.find_user(db, username)
        link = _link(console, slug, invitations.invite(db, user, console.origin, OPERATOR))
    console.say({**document(user), "invitation": link}, *_link_lines(user, link))


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
    from extranet.accounts.operations import disable_user

    user = _change(console, slug, username, disable_user)
    console.say(
        document(user),
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
    from extranet.accounts.operations import enable_user
    from extranet.models import UserState

    user = _change(console, slug, username, enable_user)
    if user.state == UserState.INVITED:
        next_step = f"{user.username} has no password yet. Invite with: extranet user invite {slug} {user.username}"
    else:
        next_step = f"{user.username} is active and can sign in."
    console.say(document(user), next_step)


@command.command(short_help="Forget the failed attempts against an account.")
@click.argument("slug")
@click.argument("username")
@verb(changes=True)
def unlock(console: Console, slug: str, username: str) -> None:
    """Forget the failed attempts against an account, so that its owner can sign in now.

    \b
    Example:
      extranet user unlock acme ben
    """
    from extranet.accounts.operations import unlock_user

    user = _change(console, slug, username, unlock_user)
    console.say(document(user), f"The failed attempts against {user.username} are forgotten.")


def _change(
    console: Console, slug: str, username: str, operation: Callable[[Session, User, Origin, str], None]
) -> User:
    from extranet.accounts.operations import find_user

    with changing(console, slug) as db:
        user = find_user(db, username)
        operation(db, user, console.origin, OPERATOR)
    return user


def _link(console: Console, slug: str, token: str) -> str:
    return f"{console.settings.origin(console.settings.host_of(slug))}/invitation/{token}"


def _link_lines(user: User, link: str) -> tuple[str, str]:
    return (f"{user.username} chooses a password here, once and within 3 days:", f"  {link}")


def _a(role: str) -> str:
    return f"{'an' if role.startswith('a') else 'a'} {role}"
