"""extranet nginx: the front door's configuration."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from cryptography import x509

from provisioning.console import Console, verb
from provisioning.nginx_sites import CustomHost, Site, render
from tenants.durable import sync
from tenants.errors import BadSettings
from tenants.tenant import State

_CONFIGURATION = "extranet.conf"
_OPTIONS = "options.json"
_RENEW_WITHIN = timedelta(days=14)
_LONGEST_TEST = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a ``write``, kept beside what it wrote."""

    site: Site
    certificate_dir: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    about: str
    ok: bool
    says: str


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
    target = _folder(console, folder)
    served, skipped = _custom_hosts(console, plan.certificate_dir)
    text = render(console.settings, site, served)
    changed = _replace(target / _CONFIGURATION, text)
    _replace(target / _OPTIONS, json.dumps(dataclasses.asdict(plan), indent=2) + "\n")
    for host in skipped:
        click.echo(f"SKIPPED {host.name}: no certificate at {host.certificate}. It is not served.", err=True)
    console.say(
        {
            "file": str(target / _CONFIGURATION),
            "changed": changed,
            "custom_hosts": [host.name for host in served],
            "skipped": [host.name for host in skipped],
        },
        f"{'Wrote' if changed else 'Unchanged:'} {target / _CONFIGURATION}",
        f"Once, in nginx.conf's http block:  include {target / _CONFIGURATION};",
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
    findings = list(_examine(console, _folder(console, folder)))
    console.say(
        [dataclasses.asdict(finding) for finding in findings],
        *(f"{'ok ' if finding.ok else 'BAD'}  {finding.about}: {finding.says}" for finding in findings),
    )
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


def _examine(console: Console, folder: Path) -> Iterator[Finding]:
    plan = _read_plan(folder)
    served, skipped = _custom_hosts(console, plan.certificate_dir)
    file = folder / _CONFIGURATION
    written = file.read_text() if file.exists() else ""
    if written == render(console.settings, plan.site, served):
        yield Finding(str(file), True, "as it would be written now")
    else:
        why = "settings, custom hosts or the file itself have changed" if written else "missing"
        yield Finding(str(file), False, f"{why}. Write it again: extranet nginx write {_arguments(plan, folder)}")
    domain = console.settings.domain
    yield _examine_certificate(f"*.{domain}", plan.site.certificate)
    for host in served:
        yield _examine_certificate(host.name, host.certificate)
    for host in skipped:
        yield Finding(host.name, False, f"is not served. Get a certificate, put it at {host.certificate}, write again.")
    if written:
        yield _try_nginx(file)


def _read_plan(folder: Path) -> Plan:
    try:
        kept = json.loads((folder / _OPTIONS).read_text())
        site = {**kept["site"], "addresses": tuple(kept["site"]["addresses"])}
        return Plan(Site(**site), kept["certificate_dir"])
    except FileNotFoundError as error:
        raise BadSettings(f"Nothing has been written to {folder} yet: see extranet nginx write --help") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadSettings(f"{folder / _OPTIONS} cannot be read; run extranet nginx write again.") from error


def _arguments(plan: Plan, folder: Path) -> str:
    site = plan.site
    options: list[tuple[str, Any]] = [
        ("certificate", site.certificate),
        ("key", site.key),
        ("certificate-dir", plan.certificate_dir),
        ("socket", site.socket),
        ("to", folder),
        ("https", site.https),
        ("http", site.http),
        *(("listen", address) for address in site.addresses),
        ("static", site.static),
        ("access-log", site.access_log),
    ]
    return " ".join(f"--{name} {value}" for name, value in options if value)


def _custom_hosts(console: Console, certificate_dir: str) -> tuple[list[CustomHost], list[CustomHost]]:
    """Return the custom hosts with a certificate, and those without."""
    registry = console.tenancy.registry
    names = [
        name
        for tenant in registry.all()
        if tenant.state not in {State.PROVISIONING, State.PURGED}
        for name in registry.hosts_of(tenant)
    ]
    hosts = [
        CustomHost(name, f"{certificate_dir}/{name}/fullchain.pem", f"{certificate_dir}/{name}/privkey.pem")
        for name in sorted(names)
    ]
    served = [host for host in hosts if os.path.exists(host.certificate) and os.path.exists(host.key)]
    return served, [host for host in hosts if host not in served]


def _examine_certificate(name: str, file: str) -> Finding:
    try:
        certificate = x509.load_pem_x509_certificate(Path(file).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except OSError as error:
        return Finding(name, False, f"its certificate {file} cannot be read: {error.strerror}.")
    except (ValueError, x509.ExtensionNotFound):
        return Finding(name, False, f"{file} is not a certificate with names in it.")
    if name not in names.get_values_for_type(x509.DNSName):
        return Finding(name, False, f"the certificate {file} is not for this name.")
    ends = certificate.not_valid_after_utc
    if ends < datetime.now(UTC) + _RENEW_WITHIN:
        return Finding(name, False, f"the certificate {file} ends on {ends:%Y-%m-%d}: renew it.")
    return Finding(name, True, f"certificate good until {ends:%Y-%m-%d}")


def _try_nginx(file: Path) -> Finding:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if nginx is None:
        return Finding("nginx", True, "not installed here, so it was not asked. Where it is: nginx -t")
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "nginx.conf"
        whole.write_text(_whole_configuration(file, scratch))
        asked = [nginx, "-t", "-q", "-p", scratch, "-c", str(whole), "-e", "stderr"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_LONGEST_TEST, check=False)  # noqa: S603
    if answer.returncode == 0:
        return Finding("nginx", True, "accepts it")
    said = answer.stderr.strip().splitlines() or ["nothing"]
    advice = " Run this as root." if "Permission denied" in answer.stderr else ""
    return Finding("nginx", False, f"refuses it: {said[0]}{advice}")


def _whole_configuration(file: Path, scratch: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {scratch}/{kind};" for kind in kinds)
    return f"pid {scratch}/nginx.pid; events {{}} http {{ {folders} include {file}; }}"


def _folder(console: Console, folder: str | None) -> Path:
    return Path(folder).absolute() if folder else console.settings.home / "nginx"


def _replace(path: Path, text: str) -> bool:
    """Give a file this content, whole or not at all; return whether that changed it."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    draft.write_text(text)
    sync(draft)
    draft.replace(path)
    sync(path.parent)
    return True
