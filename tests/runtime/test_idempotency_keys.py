"""Test what a key is, and how operations of the product are named."""

import ast
from itertools import chain
from pathlib import Path

import pytest

from runtime.idempotency import InvalidKey, check_key, key_in_header
from runtime.telemetry import OPERATIONS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("key", ["1", "8e03978e-40d5-43e8-bc93-6894a57f9324", "!~" * 127])
def test_a_key_is_visible_ascii(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 256, "k\u00e9y", "a\n", "\x7f", "\0"])
def test_anything_else_is_no_key(key: str) -> None:
    with pytest.raises(InvalidKey):
        check_key(key)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("8e03978e", "8e03978e"),
        ('"8e03978e"', "8e03978e"),
        (' "8e03978e"\t', "8e03978e"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ('a"b', 'a"b'),
        ('"open', '"open'),
    ],
)
def test_a_header_holds_the_key_bare_or_as_a_structured_string(header: str, key: str) -> None:
    assert key_in_header(header) == key


@pytest.mark.parametrize("header", ["", '""', '"two words"', "one, two", "x" * 256])
def test_a_header_without_a_key_in_it_is_refused(header: str) -> None:
    with pytest.raises(InvalidKey):
        key_in_header(header)


def test_every_operation_of_the_product_is_a_label_that_starts_at_zero() -> None:
    folders = (ROOT / name for name in ("runtime", "ingest", "workers", "ops"))
    trees = (ast.parse(path.read_text()) for folder in folders for path in folder.rglob("*.py"))
    position = {"idempotent": 0, "Idempotent": 1}
    named = [
        ast.literal_eval(node.args[position[node.func.id]])
        for node in chain.from_iterable(map(ast.walk, trees))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in position
        and all(isinstance(each, ast.Constant) for each in node.args[position[node.func.id] :])
    ]

    assert "grants.add" in named
    assert set(named) <= set(OPERATIONS)
    assert len(named) == len(set(named))
