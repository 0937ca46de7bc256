from datetime import UTC, datetime

import pytest

from ops.terminal.output import plain, say, show, table, visible


def test_control_characters_are_written_out_and_letters_are_left_alone() -> None:
    assert visible("\x1b[2Jusr\x9b1\nü 統") == "\\x1b[2Jusr\\x9b1\\nü 統"
    assert [visible(each) for each in (None, "", True, 0)] == ["-", "-", "yes", "0"]


def test_every_row_is_one_whole_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show(table(("a", "b"), [("x" * 150, "y" * 150), ("1", None)]))

    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["a", "b"], ["x" * 150, "y" * 150], ["1", "-"]]
    assert not any(line.endswith(" ") for line in lines)


def test_a_sentence_is_not_broken_and_markup_in_it_is_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(f"[bold]{'long ' * 60}\x1b\n\nend", indent=2)

    assert capsys.readouterr().out == f"  [bold]{'long ' * 60}\\x1b\n\n  end\n"


def test_values_become_what_json_has() -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)

    assert plain({"at": at, "of": frozenset({1}), "x": (None, 1.5, object)}) == {
        "at": "2026-11-22T00:00:00+00:00",
        "of": [1],
        "x": [None, 1.5, "<class 'object'>"],
    }
