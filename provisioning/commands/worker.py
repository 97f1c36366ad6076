"""extranet worker: sends the mails of all tenants."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from provisioning.console import Console, verb

if TYPE_CHECKING:
    from extranet.mail.worker import Worker
    from tenants.tenancy import Tenancy


@click.command("worker")
@click.option("--once", is_flag=True, help="Send what is due now, then end.")
@verb()
def command(console: Console, once: bool) -> None:
    """Send mails until told to stop: to the server EXTRANET_SMTP_URL names, or into files where it names none.

    Several may run at once, on one machine or many. Each ends after the mail at hand on SIGTERM or Ctrl-C; a mail that
    was cut off is sent again by whoever is there. It writes one line a mail, without address and subject.

    \b
    Example:
      extranet worker
      extranet worker --once
    """
    from extranet.mail.delivery import delivery_of
    from extranet.mail.log import write_lines
    from extranet.mail.worker import Worker

    delivery = delivery_of(console.settings)
    console.tenancy.opened.callback(delivery.close)
    worker = Worker(console.tenancy, delivery)
    write_lines()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    _listen(console.tenancy, worker)
    worker.run(once=once)
    console.say({"sent": worker.sent}, f"{worker.sent} {'mail' if worker.sent == 1 else 'mails'} sent.")


def _listen(tenancy: Tenancy, worker: Worker) -> None:
    from tenants.shared_store import open_store
    from tenants.wakeups import MAIL_CHANNEL, Wakeups

    if store := open_store(tenancy.settings):
        wakeups = Wakeups(store, worker.wake, MAIL_CHANNEL)
        tenancy.opened.callback(wakeups.close)
        wakeups.listen()
