"""Check that what the pages name exists: links, headings, make targets, commands, paths."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ops.cli import COMMANDS, group

ROOT = Path(__file__).parent.parent
FIRST = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")]
PAGES = [
    *FIRST,
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()}
"""A path that begins with one of them is a path of this repository."""

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MAKE = re.compile(r"(?:`|^ {4})make ([a-z-]+)", re.MULTILINE)
_COMMAND = re.compile(r"\bpaidup ([a-z]+)")
_CALL = re.compile(r"\bpaidup ((?:[a-z]+ ?){1,2})([^`\n|;]*)")
_PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
_SOURCE = re.compile(r"`([a-z]\w*\.(?:py|lua))`")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def links(page: Path) -> Iterator[str]:
    """Yield the targets of links, those in code left out."""
    text = _CODE.sub("", _FENCED.sub("", page.read_text()))
    yield from _LINK.findall(text)


def anchors(page: Path) -> set[str]:
    """Return the names that a forge gives the headings of a page."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text())):
        slug = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        names.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return names


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@each_page
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(_MAKE.findall(page.read_text())) <= targets


@each_page
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    assert set(_COMMAND.findall(page.read_text())) <= set(COMMANDS)


def command(words: str) -> click.Command:
    """Return the command that ``words`` lead to; the words behind it are arguments."""
    found: click.Command = group
    context = click.Context(group)
    for word in words.split():
        if isinstance(found, click.Group) and (inner := found.get_command(context, word)):
            found = inner
    assert found is not group, f"there is no `paidup {words}`"
    return found


@each_page
def test_every_call_on_a_page_has_options_that_exist(page: Path) -> None:
    wrong = []
    for words, rest in _CALL.findall(page.read_text()):
        options = {option for each in command(words).params for option in each.opts} | {"--help"}
        named = set(re.findall(r"--[a-z-]+", re.split(r" or | #", rest)[0]))
        if not named <= options:
            wrong.append(f"paidup {words}{rest}")

    assert wrong == []


def test_the_page_of_commands_names_them_all() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()

    assert set(_COMMAND.findall(text)) == set(COMMANDS)


@each_page
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = _FENCED.sub("", page.read_text())
    paths = {path for path in _PATH.findall(text) if path.partition("/")[0] in FOLDERS}
    sources = set(_SOURCE.findall(text)) if page.name != "comparison.md" else set()
    files = {path.name for folder in FOLDERS if folder[0] != "." for path in source_files(folder)}

    assert {path for path in paths if not (ROOT / path).exists()} | (sources - files) == set()


def source_files(folder: str) -> Iterator[Path]:
    yield from (ROOT / folder).rglob("*.py")
    yield from (ROOT / folder).rglob("*.lua")


def test_the_first_screen_shows_the_picture_before_the_first_heading_of_a_part() -> None:
    top = (ROOT / "README.md").read_text().split("\n## ", 1)[0]

    assert "(docs/demo.svg)" in top


def test_the_picture_loads_nothing_and_names_no_folder_of_a_machine() -> None:
    drawn = (ROOT / "docs" / "demo.svg").read_text()

    assert set(re.findall(r"\w+://[^\"' )<]+", drawn)) == {"http://www.w3.org/2000/svg"}
    assert "@font-face" not in drawn
    assert re.findall(r"/(?:home|root|work|Users|usr|opt)/", drawn) == []


def test_the_picture_shows_the_command_and_says_where_lines_are_missing() -> None:
    drawn = (ROOT / "docs" / "demo.svg").read_text().replace("&#160;", " ")

    assert ">$ paidup demo</text>" in drawn
    assert ">...</text>" in drawn


def test_no_page_has_a_gap_to_fill_or_an_unfinished_merge() -> None:
    gaps = re.compile(r"FIGURE-|ADDRESS-OF|TODO|^(?:<{7}|>{7}) ", re.MULTILINE)

    assert [str(page) for page in PAGES if gaps.search((ROOT / page).read_text())] == []
