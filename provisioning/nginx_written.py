"""What ``extranet nginx write`` leaves in its folder: the configuration, and the options it was written with."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioning.console import Console
from provisioning.nginx_sites import CustomHost, Site
from tenants.durable import sync
from tenants.errors import BadSettings
from tenants.tenant import State

CONFIGURATION = "extranet.conf"
_OPTIONS = "options.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a ``write``, kept beside what it wrote."""

    site: Site
    certificate_dir: str


def folder_of(console: Console, folder: str | None) -> Path:
    """Return the folder that was asked for, or the usual one."""
    return Path(folder).absolute() if folder else console.settings.home / "nginx"


def write_down(folder: Path, plan: Plan, text: str) -> bool:
    """Keep the configuration and its options; return whether that changed the former."""
    changed = _replace(folder / CONFIGURATION, text)
    _replace(folder / _OPTIONS, json.dumps(dataclasses.asdict(plan), indent=2) + "\n")
    return changed


def read_plan(folder: Path) -> Plan:
    """Return the options of the last ``write``; raise BadSettings when there was none."""
    try:
        kept = json.loads((folder / _OPTIONS).read_text())
        site = {**kept["site"], "addresses": tuple(kept["site"]["addresses"])}
        return Plan(Site(**site), kept["certificate_dir"])
    except FileNotFoundError as error:
        raise BadSettings(f"Nothing has been written to {folder} yet: see extranet nginx write --help") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadSettings(f"{folder / _OPTIONS} cannot be read; run extranet nginx write again.") from error


def arguments(plan: Plan, folder: Path) -> str:
    """Return the options as an operator types them."""
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


def custom_hosts(console: Console, certificate_dir: str) -> tuple[list[CustomHost], list[CustomHost]]:
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
