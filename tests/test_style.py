"""Hold the code to the rules of CONTRIBUTING: names, words, docstrings, sizes, mirrored tests."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("paidup", "billing", "models", "runtime", "ingest", "workers", "ops", "migrations")
MIRRORED = ("billing", "models", "runtime", "ingest", "workers", "ops")
"""Folders whose tests lie under the same path; system, faults, deploy and bench are exempt."""
TREES = {
    path.relative_to(ROOT): ast.parse(path.read_text())
    for folder in (*PRODUCT, "bench", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
LONGEST_FUNCTION = 45  # lines


def listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


RETIRED_WORDS = listed("""
    bequest bereave burial buried bury cargo courier crew customs errand errands foresee foreseen
    foresight foretold furniture glimpse heed heeded leash marching readmit readmitted seer sighting
    standin stood supposing supposition tending told unburied undoing unheeded whereabouts
""")
"""Words that those of docs/glossary.md, or the names in the code, have replaced."""
VAGUE_WORDS = listed("anew everybody nobody somebody thereof whatever whence whoever")
"""A sentence of the product that needs one of them wants another subject; tests may use them."""
RETIRED_NAMES = listed("""
    Act AlreadyUp Applied Audited Bill Book Books BrokenLine Carried Child Decided Desk Entering
    Entrance Fate FrontDoor Gate GiveBack Given Held Knock Landing Look Moment NotDone NothingRuns
    Offer OpenLetter Orders Outlook Park Patience Pen Ration Restating Rounds Said Seen Shelf Shut
    Standing Statement Stood Story Subject Tally Traffic Users Verdict Wanted Will Wish
    answerable asker asking_inbox complaints emit_json facing front_door give_back judge
    judge_crashes keep_books knock land let_in of_the_dead reason_given say stand_in standing_of
    what_ends what_waits worth
""")
"""Retired as names of classes and functions; most are plain words elsewhere."""
RELATIVE = listed("What Whether How Who Whose Whom Which Where When Why Whatever Whoever")
NO_IMPERATIVE = RELATIVE | listed("""
    A All An Any As Each Either Every False For From If In It Its None Of On One Our Some That The
    Their Then There These They This Those To True We With You Your
""")
NOUN_OR_PARTICIPLE = re.compile(r".*([^s]s|ing|ed|tion|ness|ity|ance|ence)")
VERBS = listed("Bring Embed Exceed Feed Need Partition Ping Proceed Ring Seed Sequence Speed")
"""Imperatives that end as a noun or a participle does."""


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path, tree in TREES.items():
        yield from ((path, node) for node in ast.walk(tree))


def docstrings() -> Iterator[tuple[str, ast.AST, str]]:
    """Yield where each documented module, class and function is, itself, and its first word."""
    for path, node in nodes():
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                line = getattr(node, "lineno", 1)
                yield f"{path}:{line}", node, re.split(r"[\s,.:;]", text, maxsplit=1)[0]


def is_value(node: ast.AST) -> bool:
    """Return whether a function is used as a value: a property, or a fixture of pytest."""
    named = [ast.unparse(each) for each in getattr(node, "decorator_list", [])]
    return any(re.search(r"property|fixture|\.setter", each) for each in named)


def words_of(identifier: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"([A-Z])", r" \1", identifier).lower()))


def test_no_class_name_stands_twice_in_the_tree() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path, node in nodes():
        if isinstance(node, ast.ClassDef):
            places[node.name].append(f"{path}:{node.lineno}")

    twice = [f"{name}: {where}" for name, where in places.items() if len(where) > 1]
    assert not twice, "\n".join(sorted(twice))


def test_no_identifier_uses_a_retired_word() -> None:
    found = []
    for path, node in nodes():
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                retired = name in RETIRED_NAMES
            case ast.arg(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                retired = False
            case _:
                continue
        if retired or words_of(name) & RETIRED_WORDS:
            found.append(f"{path}:{node.lineno} {name}")

    assert not found, "\n".join(sorted(set(found)))


def test_no_message_uses_a_retired_word() -> None:
    found = []
    for path, node in nodes():
        # Names that are stored or sent (`dead_letter.buried`) are no prose and stay.
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            prose = re.sub(r"\w+([._]\w+)+", "", node.value).lower()
            words = RETIRED_WORDS | (VAGUE_WORDS if path.parts[0] in PRODUCT else frozenset())
            used = set(re.findall("[a-z]+", prose)) & words
            if used and path != Path("tests/test_style.py"):
                found.append(f"{path}:{node.lineno} {' '.join(sorted(used))}")

    assert not found, "\n".join(found)


def test_a_docstring_of_a_function_begins_with_an_imperative() -> None:
    found = [
        f"{where} {first}"
        for where, node, first in docstrings()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not is_value(node)
        if first in NO_IMPERATIVE
        or not re.fullmatch(r"[A-Z][a-z]+(-[a-z]+)*", first)
        or (NOUN_OR_PARTICIPLE.fullmatch(first) and first not in VERBS)
    ]

    assert not found, "\n".join(found)


def test_no_docstring_begins_with_a_relative_clause() -> None:
    found = [f"{where} {first}" for where, _, first in docstrings() if first in RELATIVE]

    assert not found, "\n".join(found)


def test_no_function_is_longer_than_a_screen() -> None:
    found = []
    for path, node in nodes():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                found.append(f"{path}:{node.lineno} {node.name} has {lines}")

    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", MIRRORED)
def test_each_file_of_tests_names_the_file_it_tests(package: str) -> None:
    lost = []
    for path in sorted((ROOT / "tests" / package).rglob("test_*.py")):
        folder = ROOT / path.parent.relative_to(ROOT / "tests")
        parts = path.stem.removeprefix("test_").split("_")
        names = ["_".join(parts[:end]) for end in range(1, len(parts) + 1)]
        if not any(
            (folder / f"{name}{kind}").exists() for name in names for kind in (".py", ".lua")
        ):
            lost.append(str(path.relative_to(ROOT)))

    assert lost == []
