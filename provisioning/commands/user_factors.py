"""extranet user reset-factors: for somebody who has lost every second factor and every recovery code."""

from __future__ import annotations

import click

from extranet.security_log.origin import OPERATOR
from provisioning.confirmation import confirm
from provisioning.console import Console, verb


@click.command("reset-factors", short_help="Take away the second factors of somebody who lost them.")
@click.argument("slug")
@click.argument("username")
@click.option(
    "--yes-i-mean", "meant", default="", metavar="USERNAME", help="The name once more, where nobody is asked."
)
@verb(changes=True)
def reset_factors(console: Console, slug: str, username: str, meant: str) -> None:
    """Take away somebody's authenticator app, passkeys and recovery codes, for when all of them are lost.

    From then on their password alone signs them in, until they set up new ones:
    make sure of who is asking. They are told by mail, and all their logins end.

    \b
    Example:
      extranet user reset-factors acme ben --yes-i-mean ben
    """
    from extranet.accounts.operations import find_user
    from extranet.factors import operations

    tenancy = console.tenancy
    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        user = find_user(db, username)
        held = operations.factors_of(db, user.id)
        name = user.username
    if held.count == 0:
        document = {"username": name, "removed": 0}
        console.say(document, f"{name} has no second factor; nothing was changed.")
        return
    confirm(name, meant, f"The password of {name} alone will open their account at {slug}.")
    with tenancy.open_db(tenancy.registry.by_slug(slug), writing=True) as db:
        operations.reset_factors(db, find_user(db, name), console.origin, OPERATOR)
        db.commit()
    console.say(
        {"username": name, "removed": held.count},
        f"The second factors and recovery codes of {name} are gone; all their logins have ended.",
        f"{name} signs in with the password alone, and is told so by mail.",
    )
