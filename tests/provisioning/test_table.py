"""Tables: they line up whatever the script, and fit the terminal."""

from __future__ import annotations

from provisioning.table import layout

HEADER = ["Slug", "Name"]


def test_columns_line_up_and_lines_have_no_trailing_space() -> None:
    assert list(layout(HEADER, [["acme", "A"], ["globex", ""]], None)) == ["Slug    Name", "acme    A", "globex"]


def test_wide_and_combining_characters_count_as_a_terminal_shows_them() -> None:
    lines = list(layout(HEADER, [["日本", "x"], ["e\u0301te\u0301", "x"]], None))
    assert lines == ["Slug  Name", "日本  x", "e\u0301te\u0301   x"]


def test_on_a_terminal_the_widest_column_is_folded() -> None:
    lines = list(layout(HEADER, [["acme", "0123456789abcdefghijklmnop"], ["globex", "short"]], 20))
    assert lines == ["Slug    Name", "acme    0123456789ab", "        cdefghijklmn", "        op", "globex  short"]


def test_a_very_narrow_terminal_still_gets_everything() -> None:
    lines = list(layout(HEADER, [["0123456789", "0123456789"]], 5))
    assert lines == ["Slug      Name", "01234567  01234567", "89        89"]


def test_a_pipe_gets_one_line_a_row() -> None:
    assert len(list(layout(HEADER, [["acme", "x" * 500]], None))) == 2


def test_what_is_folded_is_cut_between_words() -> None:
    lines = list(layout(HEADER, [["acme", "one two three 0123456789abcdef"]], 17))
    assert lines == ["Slug  Name", "acme  one two", "      three", "      0123456789a", "      bcdef"]
