from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path
from uuid import uuid4

import pytest

from tenants.errors import BadSettings
from tenants.settings import HELP, read_settings


def test_an_empty_environment_is_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = read_settings({})
    assert settings.home == tmp_path / "var"
    assert settings.registry_url == f"sqlite:///{tmp_path}/var/registry.sqlite3"
    assert settings.master_key_file == tmp_path / "var" / "master.key"
    assert settings.is_local
    assert settings.origin(settings.host_of("acme")) == "http://acme.localhost:8000"
    assert settings.trusted_proxies == ()
    assert not settings.trust_unix_peer
    assert settings.workers >= 2


def test_an_empty_setting_is_one_that_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(dict.fromkeys(HELP, "")) == read_settings({})


def test_the_whole_environment_is_read(tmp_path: Path) -> None:
    settings = read_settings(
        {
            "EXTRANET_HOME": str(tmp_path),
            "EXTRANET_DOMAIN": "Extranet.Example.com",
            "EXTRANET_REGISTRY_URL": "sqlite:////srv/registry",
            "EXTRANET_MASTER_KEY_FILE": "/srv/key",
            "EXTRANET_TRUSTED_PROXIES": "10.0.0.0/8, ::1 unix",
            "EXTRANET_WORKERS": "7",
            "EXTRANET_REDIS_URL": "rediss://extranet@redis.example/3?ssl_ca_certs=/srv/ca",
            "EXTRANET_REDIS_PASSWORD_FILE": "/srv/redis.password",
            "PATH": "/bin",
        }
    )
    assert settings.domain == "extranet.example.com"
    assert settings.registry_url == "sqlite:////srv/registry"
    assert settings.master_key_file == Path("/srv/key")
    assert settings.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1"))
    assert settings.trust_unix_peer
    assert settings.workers == 7
    assert settings.redis_url == "rediss://extranet@redis.example/3?ssl_ca_certs=/srv/ca"
    assert settings.redis_password_file == Path("/srv/redis.password")
    assert not settings.is_local


@pytest.mark.parametrize(
    ("domain", "origin"),
    [
        ("example.com", "https://acme.example.com"),
        ("example.com:8443", "https://acme.example.com:8443"),
        ("example.com:443", "https://acme.example.com"),
        ("localhost:80", "http://acme.localhost"),
        ("demo.localhost", "http://acme.demo.localhost:8000"),
        ("demo.localhost:9000", "http://acme.demo.localhost:9000"),
        ("notlocalhost", "https://acme.notlocalhost"),
    ],
)
def test_an_origin_is_spelled_as_browsers_do(domain: str, origin: str) -> None:
    settings = read_settings({"EXTRANET_DOMAIN": domain})
    assert settings.origin(settings.host_of("acme")) == origin


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXTRANET_DOMAIN", "127.0.0.1"),
        ("EXTRANET_DOMAIN", "exa mple.com"),
        ("EXTRANET_DOMAIN", "https://example.com"),
        ("EXTRANET_TRUSTED_PROXIES", "nginx"),
        ("EXTRANET_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("EXTRANET_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("EXTRANET_TRUSTED_PROXIES", "::/0"),
        ("EXTRANET_WORKERS", "0"),
        ("EXTRANET_WORKERS", "65"),
        ("EXTRANET_WORKERS", "-1"),
        ("EXTRANET_WORKERS", "two"),
        ("EXTRANET_WORKERS", "\u0662"),
        ("EXTRANET_HOMES", "/srv"),
        ("EXTRANET_REDIS_URL", "localhost:6379"),
        ("EXTRANET_REDIS_URL", "http://localhost"),
        ("EXTRANET_REDIS_URL", "redis://[::1/0"),
        ("EXTRANET_SSO_INSIDE", "https://keycloak.internal"),
        ("EXTRANET_SSO_INSIDE", "keycloak.internal, *"),
    ],
)
def test_an_unsafe_malformed_or_unknown_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(BadSettings, match=name):
        read_settings({name: value})


def test_hosts_inside_are_names_and_addresses_with_or_without_a_port() -> None:
    read = read_settings({"EXTRANET_SSO_INSIDE": "Keycloak.internal, 127.0.0.1:9000"})
    assert read.sso_inside == {"keycloak.internal", "127.0.0.1:9000"}
    assert read_settings({}).sso_inside == frozenset()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:a-secret@localhost/0",
        "redis://extranet:a-secret@localhost/0",
        "rediss://:@localhost",
        "unix:///run/redis.sock?password=a-secret",
        "redis://localhost?db=1&password=",
        "http://:a-secret@localhost",
        "redis://:a-secret@[::1/0",
        "redis://:a-secret\u2100@localhost/0",
    ],
)
def test_a_password_in_the_address_of_redis_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadSettings, match="EXTRANET_REDIS") as refused:
        read_settings({"EXTRANET_REDIS_URL": url})
    assert "a-secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_systemd_credentials_hold_the_key_unless_a_file_is_named(tmp_path: Path) -> None:
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_settings(credentials).master_key_file == tmp_path / "extranet-master-key"
    named = read_settings({**credentials, "EXTRANET_MASTER_KEY_FILE": "/srv/key"})
    assert named.master_key_file == Path("/srv/key")


def test_a_folder_is_named_after_the_uuid_alone(tmp_path: Path) -> None:
    settings = read_settings({"EXTRANET_HOME": str(tmp_path)})
    one, other = uuid4(), uuid4()
    assert settings.folder_of(one) == tmp_path / "tenants" / str(one)
    assert settings.folder_of(one) != settings.folder_of(other)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_settings({}).domain = "example.com"  # type: ignore[misc]
