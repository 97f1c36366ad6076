"""extranet nginx: the front door's configuration."""

from __future__ import annotations

import dataclasses
import os

import click

from provisioning.console import Console, verb
from provisioning.examination_nginx import examine_nginx
from provisioning.nginx_sites import Site, render
from provisioning.nginx_written import CONFIGURATION, Plan, custom_hosts, folder_of, write_down


@click.group("nginx")
def command() -> None:
    """Write nginx's configuration, and check it."""


@command.command(short_help="Write the configuration for the domain and custom hosts.")
@click.option("--certificate", required=True, metavar="FILE", help="Certificate chain for *.<domain>.")
@click.option("--key", required=True, metavar="FILE", help="Its private key.")
@click.option(
    "--certificate-dir",
    default="/etc/letsencrypt/live",
    metavar="DIR",
    show_default=True,
    help="Custom hosts have HOST/fullchain.pem and HOST/privkey.pem in here.",
)
@click.option(
    "--socket", default="/run/extranet/app.sock", show_default=True, help="Where extranet serve --bind unix: listens."
)
@click.option("--to", "folder", metavar="DIR", help="Folder to write to.  [default: nginx in the home folder]")
@click.option("--https", type=click.IntRange(1, 65535), help="Port for TLS.  [default: EXTRANET_DOMAIN's, or 443]")
@click.option("--http", default=80, type=click.IntRange(1, 65535), show_default=True, help="Port that leads to TLS.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Listen on this address only; may be repeated.")
@click.option("--static", metavar="DIR", help="Let nginx serve /static/ from here; the application does otherwise.")
@click.option(
    "--access-log",
    default="/var/log/nginx/extranet.log",
    show_default=True,
    metavar="FILE",
    help="nginx's log of requests.",
)
@verb(changes=True)
def write(
    console: Console,
    certificate: str,
    key: str,
    certificate_dir: str,
    socket: str,
    folder: str | None,
    https: int | None,
    http: int,
    listen: tuple[str, ...],
    static: str | None,
    access_log: str,
) -> None:
    """Write the configuration for the domain and every custom host that has a certificate.

    Write again after adding or removing a custom host; a new tenant needs nothing.

    \b
    Example:
      extranet nginx write --certificate /etc/ssl/extranet.pem \\
        --key /etc/ssl/private/extranet.key
    """
    site = Site(
        certificate=os.path.abspath(certificate),
        key=os.path.abspath(key),
        socket=os.path.abspath(socket),
        https=https or console.settings.port,
        http=http,
        addresses=listen,
        static=os.path.abspath(static) if static else "",
        access_log=os.path.abspath(access_log),
    )
    plan = Plan(site, os.path.abspath(certificate_dir))
    target = folder_of(console, folder)
    served, skipped = custom_hosts(console, plan.certificate_dir)
    text = render(console.settings, site, served)
    changed = write_down(target, plan, text)
    for host in skipped:
        click.echo(f"SKIPPED {host.name}: no certificate at {host.certificate}. It is not served.", err=True)
    console.say(
        {
            "file": str(target / CONFIGURATION),
            "changed": changed,
            "custom_hosts": [host.name for host in served],
            "skipped": [host.name for host in skipped],
        },
        f"{'Wrote' if changed else 'Unchanged:'} {target / CONFIGURATION}",
        f"Once, in nginx.conf's http block:  include {target / CONFIGURATION};",
        "Then, each time:  extranet nginx check && systemctl reload nginx",
    )


@command.command(short_help="Check the configuration and its certificates.")
@click.option("--to", "folder", metavar="DIR", help="Folder it was written to.  [default: nginx in the home folder]")
@verb()
def check(console: Console, folder: str | None) -> None:
    """Check that the configuration is up to date, its certificates are good and nginx accepts it. Exit 1 if not.

    \b
    Example:
      extranet nginx check
    """
    findings = list(examine_nginx(console, folder_of(console, folder)))
    console.say(
        [dataclasses.asdict(finding) for finding in findings],
        *(f"{'ok ' if finding.ok else 'BAD'}  {finding.about}: {finding.says}" for finding in findings),
    )
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)
