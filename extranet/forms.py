"""What all forms share: cleaning of text, limits, and messages in the reader's language."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from wtforms import Form, HiddenField, StringField, ValidationError
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


class EditForm(BaseForm):
    """A form that changes a record, and notices when the record was changed elsewhere while it was open.

    Without it, two tabs saved one after the other would silently undo each other.
    """

    seen = HiddenField()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the form filled in with what is stored."""
        form = cls(data=record)
        form.seen.data = _fingerprint(record)
        return form

    @property
    def values(self) -> dict[str, Any]:
        """What the record shall say."""
        return {name: value for name, value in self.data.items() if name != "seen"}

    def is_overtaken_by(self, record: Mapping[str, Any]) -> bool:
        """Tell whether what is stored is no longer what this form began with; if so, say where it differs."""
        current = _fingerprint(record)
        if not self.seen.data or self.seen.data == current:
            return False
        self.seen.data = current
        labels = [str(self[name].label.text) for name, value in self.values.items() if record[name] != value]
        self.form_errors.append(
            gettext(
                "This was changed elsewhere after you opened it. What you typed is still here; it differs from what is "
                "stored in: %(fields)s. Save again to replace that.",
                fields=", ".join(labels) or "-",
            )
        )
        return True


def _fingerprint(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(sorted(record.items()), default=str).encode()).hexdigest()[:16]


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
