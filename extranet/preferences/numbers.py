"""Numbers a company is registered under: checked where a public rule exists, free elsewhere."""

from __future__ import annotations

import re

_SIREN = re.compile(r"[0-9]{9}", re.ASCII)
_VAT = re.compile(r"[A-Z]{2}[0-9A-Z+*]{2,13}", re.ASCII)
_PHONE = re.compile(r"\+?[0-9](?:[0-9 ().\-/]{2,36})[0-9]", re.ASCII)


def is_siren(text: str) -> bool:
    """Tell whether text is a French SIREN: nine digits whose Luhn sum is a multiple of ten."""
    digits = text.replace(" ", "")
    return bool(_SIREN.fullmatch(digits)) and _luhn(digits) % 10 == 0


def is_vat_id(text: str) -> bool:
    """Tell whether text has the shape of a VAT identifier: a country, then 2 to 13 letters and digits."""
    return bool(_VAT.fullmatch(text.replace(" ", "").replace(".", "").upper()))


def is_phone(text: str) -> bool:
    """Tell whether text can be dialled from somewhere: a loose international check."""
    return bool(_PHONE.fullmatch(text))


def _luhn(digits: str) -> int:
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled)
