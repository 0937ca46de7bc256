import pytest

from ops.terminal.layout import aligned_lines, block_lines, column_widths, wrap_words

LONG = "pi_" + "x" * 40


def test_lines_break_between_words_and_keep_their_indent() -> None:
    assert wrap_words("one two three", 7) == ["one two", "three"]
    assert wrap_words("  one two three", 9) == ["  one two", "  three"]
    assert wrap_words("one two three", 9, indent=2) == ["  one two", "  three"]
    assert wrap_words("", 9) == [""]


def test_a_word_wider_than_the_rest_of_the_line_moves_left() -> None:
    lines = wrap_words(f"paid by {LONG} today", 45, indent=8)

    assert lines == ["        paid by", f"  {LONG}", "        today"]


def test_wide_characters_count_twice() -> None:
    assert aligned_lines([["統統", "a"], ["x", "b"]]) == ["統統  a", "x     b"]
    assert column_widths([["統統", "a"]], 6) is None
    assert column_widths([["統統", "a"]], 7) == [4, 1]


def test_columns_of_sentences_share_what_ids_leave() -> None:
    sentence = "a sentence of several words that goes on for a while"

    widths = column_widths([["event", "because"], [LONG, sentence]], 80)

    assert widths == [43, 35]


@pytest.mark.parametrize("width", [44, 60])
def test_a_table_whose_sentences_are_squeezed_is_none(width: int) -> None:
    rows = [["event", "because"], [LONG, "a sentence of several words that goes on"]]

    assert column_widths(rows, width) is None


def test_a_block_wraps_its_sentences_below_themselves() -> None:
    lines = list(block_lines([("error", "it is too long"), ("id", LONG)], 44))

    assert lines[:1] == [("error  ", "it is too long")] or lines[0][0] == "error  "
    assert lines[-2:] == [("id", ""), ("", f" {LONG}")]


def test_a_long_sentence_in_a_block_goes_on_beside_the_labels() -> None:
    assert list(block_lines([("a", "one two three")], 10)) == [("a  ", "one two"), ("   ", "three")]
