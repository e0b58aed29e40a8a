"""Source text as the page shows it: coloured, cut, and never other than what is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_operator.reporting import source


def text_of(shown):
    return "\n".join("".join(piece.text for piece in pieces) for _, pieces in shown.lines)


def kinds_of(shown):
    return {(piece.text, piece.kind) for _, pieces in shown.lines for piece in pieces if piece.kind}


LINES = st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=60), max_size=20)


@given(LINES)
def test_colouring_changes_no_character(lines):
    text = "\n".join(line for line in lines if line)
    assert text_of(source.python(text, 10_000)) == text
    assert text_of(source.diff(text, 10_000)) == text


@given(st.text(max_size=200))
def test_whatever_python_is_not_is_shown_all_the_same(text):
    shown = source.python(text, 10_000)
    assert shown.left_out == 0
    assert text_of(shown) == source.plain(text).removesuffix("\n")


def test_keywords_strings_numbers_and_comments_are_told_apart():
    shown = source.python('def f():\n    return "a" + 1  # why\n', 1000)
    assert {
        ("def", "keyword"),
        ("return", "keyword"),
        ('"a"', "string"),
        ("1", "number"),
        ("# why", "comment"),
    } <= kinds_of(shown)


def test_a_string_over_lines_is_a_string_on_each():
    shown = source.python('x = """a\nb\n"""\ny = 2\n', 1000)
    assert {('"""a', "string"), ("b", "string"), ('"""', "string"), ("2", "number")} == kinds_of(shown)


def test_lines_of_a_diff_are_told_by_their_place_and_not_by_their_first_letters():
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- old sql comment\n+++ new\n same\n"
    assert [kind for kind, _ in source.diff(text, 1000).lines] == [
        "file",
        "meta",
        "meta",
        "hunk",
        "removed",
        "added",
        "",
    ]


def test_what_is_too_long_is_cut_at_a_line_and_counted():
    shown = source.diff("\n".join(f"+{number}" for number in range(1000)), 50)
    assert shown.total == 1000
    assert len(shown.lines) + shown.left_out == 1000
    assert sum(len(pieces[0].text) + 1 for _, pieces in shown.lines) <= 50


def test_one_endless_line_is_cut_within():
    shown = source.python("x" * 100_000, 10_000)
    assert text_of(shown).endswith("… (99600 characters more)")


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200f"])
def test_marks_that_turn_the_direction_of_text_are_written_out(mark):
    assert source.plain(f"a{mark}b") == f"a\\u{ord(mark):04x}b"


def test_control_characters_are_written_out_and_carriage_returns_at_line_ends_are_not():
    assert source.plain("a\x1b[31m\x00b\r\nc\td\n") == "a\\x1b[31m\\x00b\nc\td\n"
