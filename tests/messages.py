"""``make messages``: gather the texts of the pages and bring both catalogues up to date with them.

A new text arrives untranslated and one nobody uses any more leaves; nothing is guessed. The files hold no dates, no
names and no line numbers, so that a catalogue changes only when a text does.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.plurals import get_plural
from babel.messages.pofile import read_po, write_po

from extranet.i18n import DEFAULT_LANGUAGE, LANGUAGES

ROOT = Path(__file__).resolve().parent.parent
TRANSLATIONS = ROOT / "extranet" / "translations"
TRANSLATED = tuple(language for language in LANGUAGES if language != DEFAULT_LANGUAGE)

_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
# As extranet/request/pages.py sets up Jinja: the spaces around a {% trans %} are part of its text.
_OPTIONS = {"templates/**.html": {"newstyle_gettext": "true", "trim_blocks": "true", "lstrip_blocks": "true"}}
_KEYWORDS = {"_": None, "gettext": None, "lazy": None, "ngettext": (1, 2)}

_HEADER = """\
# {name}. Texts come from `make messages`; translations are written here.
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plural}\\n"

"""


@cache
def extract() -> Catalog:
    """Return every text that the pages and the operations mark for translation."""
    template = Catalog()
    for _file, _line, message, comments, context in extract_from_dir(
        ROOT / "extranet", _METHODS, _OPTIONS, keywords=_KEYWORDS
    ):
        template.add(message, auto_comments=comments, context=context)
    return template


def path_of(language: str) -> Path:
    """Return where a language's catalogue is."""
    return TRANSLATIONS / f"{language}.po"


def read(language: str) -> Catalog:
    """Return a language's catalogue; an empty one when there is none yet."""
    path = path_of(language)
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def updated(language: str) -> str:
    """Return what a language's catalogue should say: today's texts, with the translations there are."""
    catalogue = read(language)
    catalogue.update(extract(), no_fuzzy_matching=True)
    body = io.BytesIO()
    write_po(body, catalogue, width=120, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True)
    header = _HEADER.format(name=LANGUAGES[language], language=language, plural=get_plural(language))
    return header + body.getvalue().decode().rstrip("\n") + "\n"


def untranslated(language: str) -> list[str]:
    """Return the texts of a catalogue that nobody has translated."""
    return [str(message.id) for message in read(language) if message.id and not all(_strings(message.string))]


def _strings(string: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (string,) if isinstance(string, str) else tuple(string)


def main() -> None:
    """Update the catalogues and say what is left to translate."""
    for language in TRANSLATED:
        path_of(language).write_text(updated(language), encoding="utf-8")
        missing = untranslated(language)
        print(f"{language}.po: {len(read(language))} texts, {len(missing)} to translate")
        for text in missing:
            print(f"  {text}")


if __name__ == "__main__":
    main()
