"""Hold every call that a sentence names, and every example, to what the command line takes."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ops import cli

ROOT = Path(__file__).parents[2]
NEED_REASON = {"dead discard", "dead replay", "plans apply", "rebuild", "replay"}
WITHOUT_REASON = {"--dry-run", "--resume"}
CALL = re.compile(r"`(paidup [^`]+)`")


def said_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module that are no docstrings; a value in a text becomes X."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (each.value if isinstance(each, ast.Constant) else "X" for each in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in docstrings | inside:
            yield node.lineno, str(node.value)


def hints() -> Iterator[tuple[str, str]]:
    """Yield where a sentence names a call, and the call."""
    for package in ("ops", "runtime", "workers", "ingest"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for line, text in said_in(ast.parse(path.read_text())):
                for call in CALL.findall(text):
                    yield f"{path.relative_to(ROOT)}:{line}", call


def resolve(words: list[str]) -> tuple[str, click.Command, list[str]]:
    """Return the full name of the command that the words call, itself, and its arguments."""
    command = cli.group.get_command(click.Context(cli.group), words[0])
    assert command is not None, f"there is no command {words[0]}"
    name, rest = words[0], words[1:]
    while isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command, name, rest = command.commands[rest[0]], f"{name} {rest[0]}", rest[1:]
    return name, command, rest


def wrong_with(call: str) -> str | None:
    """Return why a call would be refused as it is typed, or None."""
    name, command, arguments = resolve(shlex.split(call.removeprefix("paidup "), comments=True))
    try:
        command.make_context(name, list(arguments))
    except click.exceptions.NoArgsIsHelpError:
        return None
    except click.UsageError as error:
        return error.format_message()
    if name in NEED_REASON and not {"--reason", *WITHOUT_REASON} & {*arguments}:
        return "--reason is missing"
    return None


def test_every_call_that_a_sentence_names_is_taken_as_it_is_typed() -> None:
    found = [(where, call) for where, call in hints() if not call.startswith("paidup --")]
    wrong = [f"{where} {call}: {why}" for where, call in found if (why := wrong_with(call))]

    assert len(found) > 50
    assert wrong == []


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("paidup replay evt_1", "--reason is missing"),
        ("paidup replay --from", "requires an argument"),
        ("paidup events show", "Missing argument"),
        ("paidup status --jsn", "No such option"),
    ],
)
def test_a_wrong_call_would_be_found(call: str, says: str) -> None:
    assert says in (wrong_with(call) or "")


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for inner, each in getattr(command, "commands", {}).items():
        yield from commands(f"{name} {inner}", each)


EVERY = [
    each
    for name in cli.COMMANDS
    if (command := cli.group.get_command(click.Context(cli.group), name))
    for each in commands(name, command)
]


@pytest.mark.parametrize(("name", "command"), EVERY, ids=[name for name, _ in EVERY])
def test_help_shows_an_example_in_one_line_and_whole_summaries(
    name: str, command: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*name.split(), "--help"]) == 0

    said = capsys.readouterr().out
    example = (command.epilog or "").rpartition("\n")[2].strip()
    assert f"paidup {name}" in example
    assert f"Example:\n    {example}\n" in said
    assert "..." not in said.partition("Commands:")[2].partition("Example:")[0]
