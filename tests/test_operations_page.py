"""The page for three in the morning names commands and options that exist."""

import re
from pathlib import Path

import click

from ops.cli import group

PAGE = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
CALLS = re.findall(r"paidup ((?:[a-z]+ ?){1,2})([^`\n]*)", PAGE)


def command(words: str) -> click.Command:
    found: click.Command = group
    context = click.Context(group)
    for word in words.split():
        if isinstance(found, click.Group) and (inner := found.get_command(context, word)):
            found = inner
    assert found is not group, f"there is no `paidup {words}`"
    return found


def test_every_command_on_the_page_exists_with_its_options() -> None:
    assert len(CALLS) > 20
    for words, rest in CALLS:
        known = {option for each in command(words).params for option in each.opts}
        asked = set(re.findall(r"--[a-z-]+", rest.partition(" or ")[0]))
        assert asked <= known, f"paidup {words}{rest}"


def test_every_link_on_the_page_leads_somewhere() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings}

    for link in re.findall(r"\]\(#([^)]+)\)", PAGE):
        assert link in anchors
