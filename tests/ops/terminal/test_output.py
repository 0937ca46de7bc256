import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.terminal.output import (
    SENTENCES,
    Columns,
    Json,
    pick_fields,
    print_calls,
    print_json,
    print_line,
    print_list,
    print_pairs,
    print_rows,
    print_section,
    print_text,
    printable,
    to_json,
)


@dataclass
class Fruit:
    name: str
    kilograms: float
    bought_at: datetime


COLUMNS: Columns[Fruit] = {"fruit": lambda row: row.name, "kg": lambda row: row.kilograms}
FRUIT = [
    Fruit("apple", 2.5, datetime(2026, 11, 22, tzinfo=UTC)),
    Fruit("pear", 1, datetime(2026, 1, 1, tzinfo=UTC)),
]


def test_control_characters_are_written_out_and_letters_are_left_alone() -> None:
    assert printable("\x1b[2Jusr\x9b1\nü 統") == "\\x1b[2Jusr\\x9b1\\nü 統"
    assert [printable(each) for each in (None, "", True, 0)] == ["-", "-", "yes", "0"]


def test_a_dataclass_becomes_an_object_with_its_counts() -> None:
    @dataclass
    class Basket:
        fruit: Fruit
        numbers: Counter[str]

    document = to_json(Basket(FRUIT[0], Counter(apple=3)))

    apple = {"name": "apple", "kilograms": 2.5, "bought_at": "2026-11-22T00:00:00+00:00"}
    assert document == {"fruit": apple, "numbers": {"apple": 3}}


def test_a_table_with_a_title_needs_rows(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, [], title="fruit of today")
    assert capsys.readouterr().out == ""

    print_rows(COLUMNS, FRUIT, title="fruit of today")
    assert capsys.readouterr().out.startswith("\nfruit of today\nfruit")


def test_every_row_is_one_whole_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    columns: Columns[tuple[str, str | None]] = {"a": lambda row: row[0], "b": lambda row: row[1]}

    print_rows(columns, [("x" * 150, "y" * 150), ("1", None)])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["a", "b"], ["x" * 150, "y" * 150], ["1", "-"]]
    assert not any(line.endswith(" ") for line in lines)


def test_a_sentence_is_not_broken_and_markup_in_it_is_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_text(f"[bold]{'long ' * 60}\x1b\n\nend", indent=2)

    assert capsys.readouterr().out == f"  [bold]{'long ' * 60}\\x1b\n\n  end\n"


def test_values_become_what_json_has() -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)

    assert to_json({"at": at, "of": frozenset({1}), "x": (None, 1.5, object)}) == {
        "at": "2026-11-22T00:00:00+00:00",
        "of": [1],
        "x": [None, 1.5, "<class 'object'>"],
    }


def test_picked_fields_keep_their_names_and_become_what_json_has() -> None:
    assert pick_fields(FRUIT[1], "bought_at", "name") == {
        "bought_at": "2026-01-01T00:00:00+00:00",
        "name": "pear",
    }


def test_a_section_without_sentences_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_section("rotten", [])
    print_section("ripe", (fruit.name for fruit in FRUIT))

    assert capsys.readouterr().out == "\nripe\n  apple\n  pear\n"


def test_each_row_has_its_own_style_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    print_rows(COLUMNS, FRUIT, style=lambda row: "bold red" if row.kilograms > 2 else "")

    _, apple, pear = capsys.readouterr().out.splitlines()
    assert "\x1b[1;31mapple" in apple
    assert "\x1b" not in pear


def test_a_list_is_a_table_of_its_columns_with_notes_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_list("fruit", FRUIT, COLUMNS, as_json=False, empty="none", notes=["more"], more=True)

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["fruit", "kg"], ["apple", "2.5"], ["pear", "1"], ["more"]]


def test_a_list_as_json_holds_whole_rows_and_further_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_list("fruit", FRUIT[:1], COLUMNS, as_json=True, empty="none", notes=["more"], more=True)

    assert json.loads(capsys.readouterr().out) == {
        "fruit": [{"name": "apple", "kilograms": 2.5, "bought_at": "2026-11-22T00:00:00+00:00"}],
        "more": True,
    }


def test_rows_of_a_list_can_have_their_own_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_list("fruit", FRUIT, COLUMNS, as_json=True, empty=None, row_document=lambda row: row.name)

    assert json.loads(capsys.readouterr().out) == {"fruit": ["apple", "pear"]}


def test_an_empty_list_is_a_sentence_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_list("fruit", [], COLUMNS, as_json=False, empty="no fruit")
    print_list("fruit", [], COLUMNS, as_json=False, empty=None)

    assert capsys.readouterr().out == "no fruit\n"


ID = "cs_test_a1" + "bC3dE5fG" * 7
RECORDS = [(ID, "UnreadableEvent: the object of the event has no currency and no amount", "open")]
RECORD_COLUMNS: Columns[tuple[str, str, str]] = {
    "event": lambda row: row[0],
    "error": lambda row: row[1],
    "state": lambda row: row[2],
}


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, *, width: int) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))


def read(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was printed, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


@pytest.mark.parametrize("width", [60, 79, 80, 100, 200])
def test_no_id_is_broken_however_narrow_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, width=width)

    print_rows(RECORD_COLUMNS, RECORDS)
    print_pairs([("event", ID), ("error", RECORDS[0][1])])
    print_text(f"- decided by {ID} at 2026-11-22 12:00:00Z, of {ID}", indent=4)

    said = read(capsys)
    assert said.count(ID) == 4
    assert all(len(line) <= max(width, len(ID)) for line in said.splitlines())


def test_a_narrow_terminal_gets_one_block_a_record(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, width=79)

    print_rows(COLUMNS, FRUIT)

    assert read(capsys) == "fruit  apple\nkg     2.5\n\nfruit  pear\nkg     1\n"


def test_a_terminal_that_is_wide_enough_gets_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, width=80)

    print_rows(COLUMNS, FRUIT)

    assert len(read(capsys).splitlines()) == 3


def test_sentences_give_way_before_a_table_becomes_blocks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, width=110)

    print_rows(RECORD_COLUMNS, RECORDS)

    heading, first, *rest = read(capsys).splitlines()
    assert heading.split() == ["event", "error", "state"]
    assert ID in first
    assert " ".join(f"{first} {' '.join(rest)}".split()).count("open") == 1


def test_a_pipe_gets_neither_boxes_nor_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(RECORD_COLUMNS, RECORDS)

    said = capsys.readouterr().out
    assert said.isascii()
    assert len(said.splitlines()) == 2


def test_commands_to_try_are_never_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = f"paidup dead replay {ID} --dry-run"

    print_calls("next", {call: "see what a replay would change"})
    wide = capsys.readouterr().out
    on_a_terminal(monkeypatch, width=60)
    print_calls("next", {call: "see what a replay would change"})
    narrow = read(capsys)

    assert f"  {call}  see what" in wide
    assert f"  see what a replay would change:\n    {call}\n" in narrow


def test_a_line_too_wide_for_the_terminal_is_a_block(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    print_line(RECORD_COLUMNS, RECORDS[0])
    piped = capsys.readouterr().out
    on_a_terminal(monkeypatch, width=60)
    print_line(RECORD_COLUMNS, RECORDS[0])
    narrow = read(capsys)

    assert piped == "  ".join(RECORDS[0]) + "\n"
    assert narrow.endswith("state  open\n\n")
    assert ID in narrow


def test_notes_stand_apart_from_blocks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, width=60)

    print_list("fruit", FRUIT, COLUMNS, as_json=False, empty=None, notes=["more"])

    assert read(capsys).endswith("kg     1\n\nmore\n")


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command was called in a checkout, as `bin/paidup`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "paidup")])


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_calls_in_the_sentences_of_a_document_can_be_typed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    says = "run `paidup up`"
    print_json({"all": [{name: says}, {name: [says]}, {name: {"why": (says,)}}]})

    document = json.loads(capsys.readouterr().out)
    named = "run `bin/paidup up`"
    assert document == {"all": [{name: named}, {name: [named]}, {name: {"why": [named]}}]}


@pytest.mark.usefixtures("checkout")
def test_what_others_said_is_printed_as_they_said_it(capsys: pytest.CaptureFixture[str]) -> None:
    said: Json = {
        "reason": "I ran `paidup up`",
        "payload": {"says": "`paidup up`"},
        "changes": [{"failed": "`paidup up`"}],
        "user_id": "`paidup up`",
        "number": 1.5,
        "none": None,
    }
    print_json(said)

    assert json.loads(capsys.readouterr().out) == said
