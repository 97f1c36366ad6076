"""What all forms share: cleaning of text, limits, and messages in the reader's language."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from wtforms import Form, StringField, ValidationError
from wtforms.i18n import get_translations
from wtforms.meta import DefaultMeta

from extranet.i18n import current_language, gettext

_KEPT_CONTROLS = frozenset("\n\t")
# They turn the text around them: a name could read as another one.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class _Meta(DefaultMeta):
    def get_translations(self, form: Any) -> Any:
        """WTForms brings its own messages in all our languages."""
        return get_translations([current_language()])


class BaseForm(Form):
    """A form whose own texts follow the reader's language. CSRF is checked before any form: see request/csrf.py."""

    Meta = _Meta

    def reject(self, field: str, message: str) -> None:
        """Put an operation's refusal beside the field it belongs to, or above the form when it has none."""
        if field in self._fields:
            self[field].errors = [*self[field].errors, message]
        else:
            self.form_errors.append(message)


def clean(text: str | None) -> str:
    """Return text in NFC, with one kind of line end and no white space around it."""
    return unicodedata.normalize("NFC", (text or "").replace("\r\n", "\n").replace("\r", "\n")).strip()


def readable(_form: Any, field: StringField) -> None:
    """Refuse what cannot be shown: bytes that were not UTF-8, and control characters."""
    text = field.data or ""
    if "\ufffd" in text:
        raise ValidationError(gettext("This contains characters that could not be read. Please type it again."))
    if any(_is_control(character) for character in text):
        raise ValidationError(gettext("This contains control characters. Please remove them."))


def not_too_long(longest: int) -> Callable[[Any, StringField], None]:
    """Refuse a password of more than ``longest`` bytes, before anything is computed from it."""

    def check(_form: Any, field: StringField) -> None:
        if len((field.data or "").encode()) > longest:
            raise ValidationError(gettext("This password is too long: at most %(count)s bytes.", count=longest))

    return check


def one_line(_form: Any, field: StringField) -> None:
    """Refuse line breaks and tabs in a field of one line."""
    if any(character in (field.data or "") for character in "\n\t\u2028\u2029"):
        raise ValidationError(gettext("This must be on one line."))


class Text(StringField):
    """One line of cleaned, readable text of at most ``longest`` characters."""

    def __init__(
        self, label: Any, validators: Sequence[Any] = (), *, longest: int, autocomplete: str = "off", **options: Any
    ) -> None:
        from wtforms.validators import Length

        super().__init__(
            label,
            [*validators, Length(max=longest), readable, one_line],
            filters=[clean],
            render_kw={"maxlength": longest, "autocomplete": autocomplete},
            **options,
        )


def _is_control(character: str) -> bool:
    if character in _DIRECTIONS:
        return True
    return unicodedata.category(character) == "Cc" and character not in _KEPT_CONTROLS
