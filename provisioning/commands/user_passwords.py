"""extranet user reset-password and set-password: another password, chosen by its owner or given."""

from __future__ import annotations

import click

from extranet.security_log.origin import OPERATOR
from provisioning.console import Console, read_secret, verb
from provisioning.people import changing, document


@click.command("reset-password", short_help="Mail a user a link to a new password.")
@click.argument("slug")
@click.argument("username")
@verb(changes=True)
def reset_password(console: Console, slug: str, username: str) -> None:
    """Mail a user a link with which they choose a new password, once and within the hour. Nobody else sees it.

    \b
    Example:
      extranet user reset-password acme ben
    """
    from extranet.accounts import operations, recovery

    with changing(console, slug) as db:
        user = operations.find_user(db, username)
        recovery.start_reset(db, user, OPERATOR, console.origin)
    console.say(document(user), f"A link to a new password is on its way to {user.email}. It works for one hour.")


@click.command("set-password")
@click.argument("slug")
@click.argument("username")
@verb(changes=True)
def set_password(console: Console, slug: str, username: str) -> None:
    """Set a user's password from standard input. All their logins end.

    \b
    Example:
      extranet user set-password acme ben < password.txt
    """
    from extranet.accounts import operations
    from extranet.accounts.passwords import command_line_passwords

    password = read_secret("Password")
    with changing(console, slug) as db:
        user = operations.find_user(db, username)
        operations.set_password(db, command_line_passwords(), user, password, console.origin, OPERATOR)
    console.say(document(user), f"The password of {user.username} is set; all their logins have ended.")
