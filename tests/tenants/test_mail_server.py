from __future__ import annotations

from pathlib import Path

import pytest

from tenants.errors import BadSettings
from tenants.mail_server import MailServer, Security, parse_mail_from, parse_mail_server
from tenants.secret_files import read_secret_file
from tenants.settings import read_settings


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("", None),
        ("smtps://mail.example.com", MailServer(Security.TLS, "mail.example.com", 465)),
        ("smtps://mail.example.com:8465/", MailServer(Security.TLS, "mail.example.com", 8465)),
        ("smtp+starttls://mail.example.com", MailServer(Security.STARTTLS, "mail.example.com", 587)),
        ("smtp+starttls://a%40b@mail.example.com:25", MailServer(Security.STARTTLS, "mail.example.com", 25, "a@b")),
        ("smtp://localhost", MailServer(Security.NONE, "localhost", 25)),
        ("smtp://127.0.0.53:2525", MailServer(Security.NONE, "127.0.0.53", 2525)),
        ("smtp://[::1]", MailServer(Security.NONE, "::1", 25)),
    ],
)
def test_a_url_names_a_server(text: str, server: MailServer | None) -> None:
    assert parse_mail_server(text) == server


def test_a_server_is_named_without_its_user() -> None:
    assert str(parse_mail_server("smtps://secretary@mail.example.com")) == "smtps://mail.example.com:465"
    assert str(parse_mail_server("smtp://[::1]:25")) == "smtp://[::1]:25"


@pytest.mark.parametrize(
    "text",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://mail.example.com",
        "smtp://192.0.2.1",
        "smtps://user:hunter2@mail.example.com",
        "smtps://user:@mail.example.com",
        "smtps://",
        "smtps://hunter2@",
        "smtps://mail.example.com:hunter2",
        "smtps://mail.example.com:99999",
        "smtps://mail.example.com/hunter2",
        "smtps://mail.example.com?password=hunter2",
        "smtps://mail.example.com#hunter2",
        "smtps://[hunter2",
    ],
)
def test_what_is_refused_is_not_quoted(text: str) -> None:
    with pytest.raises(BadSettings, match="EXTRANET_SMTP_URL") as refused:
        parse_mail_server(text)
    assert "hunter2" not in str(refused.value)
    # Nor by a traceback, which shows what led to an error.
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_mails_come_from_the_platform_s_domain_unless_told_otherwise() -> None:
    assert parse_mail_from("", "example.com") == "no-reply@example.com"
    assert parse_mail_from("mail@other.example", "example.com") == "mail@other.example"


@pytest.mark.parametrize(
    "text",
    ["nobody", "@example.com", "a@", "a b@c.example", "a@b.example, c@d.example", "a@b\r\nBcc: c@d", "é@b.example"],
)
def test_what_is_no_address_cannot_be_the_sender(text: str) -> None:
    with pytest.raises(BadSettings, match="EXTRANET_MAIL_FROM"):
        parse_mail_from(text, "example.com")


def test_the_environment_is_read(tmp_path: Path) -> None:
    password_file = tmp_path / "smtp.password"
    settings = read_settings(
        {
            "EXTRANET_SMTP_URL": "smtps://extranet@mail.example.com",
            "EXTRANET_SMTP_PASSWORD_FILE": str(password_file),
            "EXTRANET_MAIL_FROM": "extranet@example.com",
        }
    )
    assert settings.mail_server == MailServer(Security.TLS, "mail.example.com", 465, "extranet")
    assert settings.mail_password_file == password_file
    assert settings.mail_from == "extranet@example.com"
    bare = read_settings({"EXTRANET_DOMAIN": "example.com"})
    assert (bare.mail_server, bare.mail_password_file, bare.mail_from) == (None, None, "no-reply@example.com")


@pytest.mark.parametrize(
    "environ",
    [
        {"EXTRANET_SMTP_URL": "smtps://extranet@mail.example.com"},
        {"EXTRANET_SMTP_URL": "smtps://mail.example.com", "EXTRANET_SMTP_PASSWORD_FILE": "/srv/password"},
        {"EXTRANET_SMTP_PASSWORD_FILE": "/srv/password"},
    ],
)
def test_a_user_and_a_password_come_together(environ: dict[str, str]) -> None:
    with pytest.raises(BadSettings, match="names a user exactly when"):
        read_settings(environ)


def test_a_secret_is_read_from_a_file_of_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(BadSettings, match=r"EXTRANET_X .* cannot be read"):
        read_secret_file("EXTRANET_X", path)
    path.touch(0o600)
    path.write_text(" hunter2\n")
    assert read_secret_file("EXTRANET_X", path) == "hunter2"
    path.chmod(0o640)
    with pytest.raises(BadSettings, match=r"EXTRANET_X .* is open to others"):
        read_secret_file("EXTRANET_X", path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(BadSettings, match="cannot be read"):
        read_secret_file("EXTRANET_X", link)
