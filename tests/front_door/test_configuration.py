"""``extranet nginx write`` and ``check``."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from click.testing import Result

from extranet.request import headers
from provisioning import nginx_sites
from provisioning.nginx_sites import CustomHost, Site, render
from tenants import lifecycle
from tenants.errors import BadSettings, BadSlug
from tenants.settings import read_settings
from tenants.tenant import parse_slug
from tests.front_door.conftest import write_options
from tests.front_door.door import (
    CUSTOM_HOST,
    DOMAIN,
    UNCERTIFIED_HOST,
    Door,
    free_port,
    is_listening,
    make_certificate,
    running_nginx,
    until,
)

pytestmark = pytest.mark.front_door

SETTINGS = read_settings({"EXTRANET_HOME": "/srv/extranet", "EXTRANET_DOMAIN": "ex-tranet.example"})
SITE = Site("/tls/chain.pem", "/tls/key.pem", "/run/extranet/app.sock", 443, 80, (), "", "/var/log/nginx/extranet.log")


def nginx(door: Door, *arguments: str) -> Result:
    """Run one ``extranet nginx`` command."""
    return door.run("nginx", *arguments)


@pytest.fixture
def written(door: Door, tmp_path: Path) -> Path:
    """A folder of this test's own with what the command writes."""
    wrote = nginx(door, "write", *write_options(door, free_port(), free_port()), "--to", str(tmp_path))
    assert wrote.exit_code == 0, wrote.stderr
    return tmp_path / "extranet.conf"


@pytest.mark.parametrize(
    "slug", ["acme", "a1", "a-b", "1a", "a" * 32, "a", "a" * 33, "-a", "a-", "a--b", "a_b", "a.b", "xn--a", ""]
)
def test_nginx_knows_the_same_slugs_as_the_core(slug: str) -> None:
    found = re.search(r'server_name "~(.*)";', render(SETTINGS, SITE, []))
    assert found
    try:
        allowed = bool(parse_slug(slug))
    except BadSlug:
        allowed = False
    assert bool(re.search(found[1], f"{slug}.ex-tranet.example")) is allowed
    assert not re.search(found[1], f"{slug}.ex-tranetxexample")
    assert not re.search(found[1], f"{slug}.ex-tranet.example.evil")


def test_nginx_and_the_application_say_the_same_headers() -> None:
    text = render(SETTINGS, SITE, [])
    for name, value in headers._ALWAYS.items():
        if name != "Content-Security-Policy":
            assert re.search(rf'add_header {name} "?{re.escape(value)}"? always;', text)
    assert nginx_sites._STRICT_TRANSPORT_SECURITY == headers._STRICT_TRANSPORT_SECURITY


def test_by_default_every_address_is_listened_on_and_the_usual_port_is_not_spelt_out() -> None:
    text = render(SETTINGS, SITE, [])
    for port in ("443 ssl http2", "80"):
        assert f"listen {port} default_server;" in text
        assert f"listen [::]:{port} default_server;" in text
    assert "return 308 https://$host$request_uri;" in text


def test_addresses_of_both_families_are_written_as_nginx_reads_them() -> None:
    site = Site(**{**dataclasses.asdict(SITE), "addresses": ("192.0.2.1", "2001:db8::1", "[2001:db8::2]")})
    text = render(SETTINGS, site, [])
    for address in ("192.0.2.1", "[2001:db8::1]", "[2001:db8::2]"):
        assert f"listen {address}:443 ssl http2;" in text
        assert f"listen {address}:80;" in text


@pytest.mark.parametrize("path", ["/a b", "/a;b", "/a{b", '/a"b', "/a'b", "/a$host", "/a\\b", "/a\nb", "/a#b"])
@pytest.mark.parametrize("field", ["certificate", "key", "socket", "static", "access_log"])
def test_a_path_that_nginx_would_misread_is_refused(path: str, field: str) -> None:
    with pytest.raises(BadSettings, match="misread"):
        render(SETTINGS, Site(**{**dataclasses.asdict(SITE), field: path}), [])


def test_a_host_that_nginx_would_misread_is_refused() -> None:
    with pytest.raises(BadSettings, match="misread"):
        render(SETTINGS, SITE, [CustomHost("x; return 200", "/c", "/k")])


def test_localhost_has_no_front_door() -> None:
    with pytest.raises(BadSettings, match="without nginx"):
        render(read_settings({"EXTRANET_HOME": "/srv/extranet"}), SITE, [])


def test_what_was_written_is_accepted_by_nginx_and_written_once(door: Door, written: Path) -> None:
    text = written.read_text()
    assert f"server_name {CUSTOM_HOST};" in text
    options = json.loads((written.parent / "options.json").read_text())["site"]
    again = nginx(
        door, "write", *write_options(door, options["https"], options["http"]), "--to", str(written.parent), "--json"
    )
    assert json.loads(again.stdout) == {
        "file": str(written),
        "changed": False,
        "custom_hosts": [CUSTOM_HOST],
        "skipped": [UNCERTIFIED_HOST],
    }
    assert written.read_text() == text
    assert sorted(file.name for file in written.parent.iterdir()) == ["extranet.conf", "options.json"]


def test_a_custom_host_without_certificate_is_skipped_loudly(door: Door, written: Path) -> None:
    wrote = nginx(door, "write", *write_options(door, free_port(), free_port()), "--to", str(written.parent))
    assert f"SKIPPED {UNCERTIFIED_HOST}" in wrote.stderr
    assert UNCERTIFIED_HOST not in written.read_text()
    assert f"BAD  {UNCERTIFIED_HOST}: is not served" in nginx(door, "check", "--to", str(written.parent)).stdout


def test_check_finds_all_well_and_then_what_has_changed(door: Door, written: Path) -> None:
    def check() -> dict[str, tuple[bool, str]]:
        ran = nginx(door, "check", "--to", str(written.parent), "--json")
        found = {finding["about"]: (finding["ok"], finding["says"]) for finding in json.loads(ran.stdout)}
        assert ran.exit_code == (0 if all(ok for ok, _ in found.values()) else 1)
        return found

    well = check()
    assert [about for about, (ok, _) in well.items() if not ok] == [UNCERTIFIED_HOST]
    assert set(well) == {str(written), f"*.{DOMAIN}", CUSTOM_HOST, UNCERTIFIED_HOST, "nginx"}

    text = written.read_text()
    written.write_text(text.replace("ssl_reject_handshake on", "ssl_reject_handshake off"))
    changed = check()
    assert changed[str(written)][0] is False
    assert "extranet nginx write --certificate " in changed[str(written)][1]

    written.write_text(text.replace("TLSv1.2", "TLSv0.9"))
    assert check()["nginx"][0] is False
    written.unlink()
    assert "missing" in check()[str(written)][1]

    lifecycle.add_host(door.platform.tenancy, "acme", "new.acme.example")
    try:
        written.write_text(text)
        assert check()["new.acme.example"][0] is False
    finally:
        registry = door.platform.tenancy.registry
        registry.remove_host(registry.by_slug("acme"), "new.acme.example")


@pytest.mark.parametrize(
    ("name", "says"),
    [("*.other.test", "not for this name"), ("gone", "cannot be read"), ("nonsense", "not a certificate")],
)
def test_check_reads_the_certificates(door: Door, tmp_path: Path, name: str, says: str) -> None:
    chain, key = make_certificate(tmp_path / "tls", name)
    if name == "nonsense":
        chain.write_text("nonsense")
    options = [*write_options(door, free_port(), free_port()), "--certificate", str(chain), "--key", str(key)]
    assert nginx(door, "write", *options, "--to", str(tmp_path)).exit_code == 0
    if name == "gone":
        chain.unlink()
    checked = nginx(door, "check", "--to", str(tmp_path))
    assert checked.exit_code == 1
    assert says in checked.stdout


def test_check_before_write_says_what_to_do(door: Door, tmp_path: Path) -> None:
    checked = nginx(door, "check", "--to", str(tmp_path))
    assert (checked.exit_code, checked.stdout) == (1, "")
    assert "extranet nginx write --help" in checked.stderr
    (tmp_path / "options.json").write_text("{}")
    assert "cannot be read" in nginx(door, "check", "--to", str(tmp_path)).stderr


def test_static_files_served_by_nginx_look_like_the_applications(door: Door, tmp_path: Path) -> None:
    folder = Path(headers.__file__).parents[1] / "static"
    https = free_port()
    options = [*write_options(door, https, free_port()), "--static", str(folder), "--to", str(tmp_path)]
    assert nginx(door, "write", *options).exit_code == 0
    with running_nginx(tmp_path / "nginx", tmp_path / "extranet.conf", door.environment):
        until(lambda: is_listening(https), "nginx did not open")
        for name in ("tokens.css", "forms.js", "icons.svg"):
            ours, apps = door.ask(f"/static/{name}?v=1", https=https), door.ask(f"/static/{name}?v=1")
            assert (ours.status, ours.body) == (200, apps.body)
            for header in (*headers._ALWAYS, "Content-Type", "Cache-Control", "Strict-Transport-Security"):
                if header != "Content-Security-Policy":
                    assert ours.all(header) == apps.all(header), header
        for path in ("/static/", "/static", "/static/nothing.css", "/static/../app.py", "/static..%2fapp.py"):
            assert door.ask(path, https=https).status == 404
        assert door.ask("/login", https=https).tenant == "acme"
