"""What both log pages do alike: what comes before anybody sees entries, a page of them, and the file of them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import make_response, redirect, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from extranet import paging
from extranet.admin_logs import finding, shown
from extranet.admin_logs.filters import Filter
from extranet.admin_logs.finding import Found, Log
from extranet.admin_logs.looking import (
    asked_filter,
    missing_reason,
    note_download,
    note_look,
    pager_of,
    unread_notice,
    wanted_of,
)
from extranet.admin_logs.sheet import answer_sheet, too_long
from extranet.request import pages
from extranet.request.current import current
from extranet.retention.logs import log_days
from tenants.journal import Entry

_MOST_NAMES = 300

Show = Callable[[Entry, Mapping[str, str]], Any]


@dataclass(frozen=True, slots=True)
class LogPage:
    """One log as administrators see it.

    ``section`` names its page and template, ``name`` the log where a look at it is recorded. ``sentences`` are all
    kinds of entries. ``has_origin``: entries have an address and a result, which can be asked for. ``more`` returns
    what else the page shows.
    """

    section: str
    name: str
    sentences: Mapping[Any, Any]
    log_of: Callable[[Session], Log]
    show: Show
    has_origin: bool
    more: Callable[[], Mapping[str, Any]] = dict

    def answer(self) -> Response:
        """Show one page of what is asked for, newest first; before that, what has to be read or said first."""
        if (instead := unread_notice(self.section)) is not None:
            return instead
        asked = self._asked()
        if asked.errors:
            return self._page(asked, 422)
        if (instead := missing_reason(asked, self.section)) is not None:
            return instead
        note_look(asked, self.name)
        return self._page(asked)

    def answer_file(self, head: Sequence[str], lines: Callable[[Any], list[list[str]]], name: str) -> Response:
        """Return all of what is asked for as a file, which is put on record; ``lines`` are those of one entry."""
        asked = self._asked()
        if asked.errors or unread_notice(self.section) or missing_reason(asked, self.section):
            return redirect(url_for(f"logs.{self.section}", **asked.query), 303)
        found = self.log_of(current.db).find(wanted_of(asked))
        if too_long(asked, found):
            return self._page(asked, 422)
        rows = [line for entry in self._shown(found) for line in lines(entry)]
        note_download(asked, self.name, len(found.entries))
        return answer_sheet([head, *rows], name)

    def kinds(self) -> dict[str, str]:
        """Return every kind of entry there is by its code, in the reader's words and order."""
        words = {kind.value: str(sentence) for kind, sentence in self.sentences.items()}
        return dict(sorted(words.items(), key=lambda item: item[1].casefold()))

    def _asked(self) -> Filter:
        asked = asked_filter(self.kinds())
        if not self.has_origin:
            # Whatever an address says of them asks for nothing.
            asked.typed |= {"address": "", "result": ""}
            for name in ("address", "result"):
                asked.errors.pop(name, None)
        return asked

    def _page(self, asked: Filter, status: int = 200) -> Response:
        log = self.log_of(current.db)
        found, pager = _found(log, asked)
        html = pages.render(
            f"admin_logs/{self.section}.html",
            asked=asked,
            kinds=self.kinds(),
            people=finding.some_usernames(current.db, _MOST_NAMES),
            entries=self._shown(found),
            found=found,
            pager=pager,
            reaches_back_to=log.reaches_back_to,
            log_days=log_days(current.db),
            **self.more(),
        )
        return make_response(html, status)

    def _shown(self, found: Found) -> list[Any]:
        names = finding.names_of(current.db, shown.people_in(found.entries))
        return [self.show(entry, names) for entry in found.entries]


def _found(log: Log, asked: Filter) -> tuple[Found, paging.Pager]:
    if asked.errors:
        return Found([], 0), pager_of(0)
    wanted, rows = wanted_of(asked), current.user.rows_per_page
    if wanted.network:
        # How many there are is known when they were opened.
        found = log.find(wanted)
        pager = pager_of(found.count)
        begin = (pager.page - 1) * rows
        return Found(found.entries[begin : begin + rows], found.count, found.unsearched), pager
    pager = pager_of(log.count(wanted))
    return log.find(wanted, offset=(pager.page - 1) * rows, limit=rows), pager
