"""Words and dates in the reader's language. Catalogues are read from their .po files at the first use of a language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from gettext import NullTranslations
from importlib.resources import files
from typing import Any

LANGUAGES = {"en": "English", "fr": "Français", "nl": "Nederlands"}
DEFAULT_LANGUAGE = "en"

# Set by the request (or the command) before any text is made; a thread that set none gets English, never a neighbour's.
_language: ContextVar[str] = ContextVar("language", default=DEFAULT_LANGUAGE)


def use_language(language: str) -> None:
    """Make ``language`` the one of this request or command."""
    _language.set(language)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak another language for a while: that of whom a mail is to, who is seldom the one who causes it."""
    before = _language.set(language if language in LANGUAGES else DEFAULT_LANGUAGE)
    try:
        yield
    finally:
        _language.reset(before)


def current_language() -> str:
    """Return the language in use."""
    return _language.get()


def gettext(message: str, **values: Any) -> str:
    """Translate a message and fill in its ``%(name)s`` places."""
    translated = _catalogue(_language.get()).gettext(message)
    return translated % values if values else translated


def ngettext(singular: str, plural: str, count: int, **values: Any) -> str:
    """Translate a message that depends on a number."""
    return _catalogue(_language.get()).ngettext(singular, plural, count) % {"num": count, "count": count, **values}


def lazy(message: str) -> Any:
    """Return a text that is translated each time it is shown: for form labels, made once at import."""
    from babel.support import LazyProxy

    return LazyProxy(gettext, message, enable_cache=False)


def best_language(accepted: Iterable[str], otherwise: str) -> str:
    """Return the first of the browser's languages that there is, else ``otherwise``."""
    for tag in accepted:
        primary = tag.replace("_", "-").partition("-")[0].lower()
        if primary in LANGUAGES:
            return primary
    return otherwise


@lru_cache(maxsize=len(LANGUAGES))
def _catalogue(language: str) -> NullTranslations:
    if language == DEFAULT_LANGUAGE:
        return NullTranslations()
    # The command line speaks English: it need not wait for Babel.
    from io import BytesIO

    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po
    from babel.support import Translations

    with files("extranet").joinpath("translations", f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)
