"""A mail as it goes over the wire: headers made by the standard library alone, which refuses a line break in any."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from email_validator import EmailNotValidError, validate_email


class Undeliverable(Exception):
    """Raised when a mail can never be sent, to anybody's knowledge; ``fault`` names no address."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


def compose(mail_id: str, created_at: datetime, content: Mapping[str, str], sender: str) -> EmailMessage:
    """Return the message of one mail; raise Undeliverable.

    Its Message-ID is the same however often it is sent: whoever gets it twice can tell.
    """
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = Address(content["sender"], addr_spec=sender)
        message["To"] = Address(addr_spec=_in_ascii(content["to"]))
        message["Subject"] = content["subject"]
        message["Date"] = format_datetime(created_at)
        message["Message-ID"] = f"<{mail_id}@{content['host']}>"
    except (ValueError, IndexError) as error:
        # The library's own words quote the value.
        raise Undeliverable("a header would not hold") from error
    # No answer by a machine is wanted, and none may start a loop.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(content["text"])
    message.add_alternative(content["html"], subtype="html")
    # Last: with whatever else begins with Content-, it would have moved into the first of the two parts.
    message["Content-Language"] = content["language"]
    return message


def _in_ascii(address: str) -> str:
    try:
        found = validate_email(address, check_deliverability=False, test_environment=True).ascii_email
    except EmailNotValidError as error:
        raise Undeliverable("not an address") from error
    if found is None:
        # Few servers take them, and one that does not would be asked for three days.
        raise Undeliverable("an address with letters before the @ that few servers take")
    return found
