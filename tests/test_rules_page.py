"""Hold docs/rules.md to what it says: its examples, its policy lines, and the rules of worlds."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from billing.catalogue import read_catalogue
from billing.errors import InvalidCatalogue
from billing.projection.party import project
from ops.samples.lifecycles.registry import SCENARIOS
from ops.samples.worlds.truth.rules import RULES
from tests.billing.fact_builders import START
from tests.billing.lifecycle_facts import (
    LIFECYCLES,
    SHOP,
    ending,
    expected_ending,
    facts_of,
    play_lifecycle,
)
from tests.histories.play import actual_end, bodies_of, expected_end, history_names, stated_about

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
PARTS = (
    *("Order", "Cut lists", "User", "Access of a subscription", "Names of items", "Time"),
    *("Purchases", "Money going back", "Stripe entitlements", "Payments", "API versions"),
    *("What Stripe shows now", "Statements of people"),
)
TABLES = ("policy", "catalogue", "identity")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRule:
    """One rule of the page; policy lines are pairs of table and key."""

    number: int
    name: str
    sentence: str
    source: str
    policy: str
    example: str
    worlds: tuple[str, ...]

    @property
    def policy_lines(self) -> list[tuple[str, str]]:
        """The lines of ``plans.toml`` that change it."""
        return re.findall(r"`\[([\w.]+)\] (\w+)`", self.policy)

    @property
    def example_name(self) -> str:
        """The history, or the lifecycle, that is its example."""
        named = re.match(r"(?:lifecycle )?`([\w-]+)`: \S", self.example)
        assert named, f"rule {self.name} needs an example in the form `name`: what happens"
        return named[1]

    @property
    def is_lifecycle(self) -> bool:
        """True if its example is a lifecycle."""
        return self.example.startswith("lifecycle ")


def read_rule(block: str) -> PageRule:
    """Return the rule of one heading of the third level."""
    heading, _, rest = block.partition("\n")
    number, _, name = heading.partition(". ")
    text = rest.partition("\n## ")[0]
    sentence, *lines = re.split(r"^- (?=[A-Z][a-z]+: )", text, flags=re.MULTILINE)
    stated = dict(" ".join(line.split()).split(": ", 1) for line in lines)
    assert list(stated) == ["Source", "Policy", "Example", "Worlds"], f"rule {name}: {list(stated)}"
    return PageRule(
        number=int(number),
        name=name,
        sentence=" ".join(sentence.split()),
        source=stated["Source"],
        policy=stated["Policy"],
        example=stated["Example"],
        worlds=tuple(re.findall(r"`([\w-]+)`", stated["Worlds"])),
    )


RULES_OF_PAGE = [read_rule(block) for block in PAGE.read_text().split("\n### ")[1:]]
each_rule = pytest.mark.parametrize("rule", RULES_OF_PAGE, ids=lambda rule: str(rule.name))


def test_the_parts_stand_in_their_order() -> None:
    assert tuple(re.findall(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)) == PARTS


def test_the_numbers_are_contiguous_and_no_name_stands_twice() -> None:
    names = [rule.name for rule in RULES_OF_PAGE]

    assert [rule.number for rule in RULES_OF_PAGE] == list(range(1, len(names) + 1))
    assert len(set(names)) == len(names)


def test_each_rule_of_the_worlds_is_named_by_exactly_one_rule() -> None:
    named = [name for rule in RULES_OF_PAGE for name in rule.worlds]

    assert sorted(named) == sorted(RULES)


@each_rule
def test_a_rule_is_a_sentence_or_two_with_a_source_and_worlds(rule: PageRule) -> None:
    sentences = re.split(r"(?<=[.?!]) (?=[A-Z`])", rule.sentence)

    assert 1 <= len(sentences) <= 2
    assert rule.sentence.endswith(".")
    assert "](http" in rule.source or rule.source.startswith(("a statement", "a line"))
    assert rule.worlds


@each_rule
def test_a_policy_line_is_one_that_the_catalogue_reads(rule: PageRule) -> None:
    assert rule.policy_lines or rule.policy.split(";")[0] == "none"
    for table, key in rule.policy_lines:
        in_tables = {key: object()}
        for name in reversed(table.split(".")):
            in_tables = {name: in_tables}
        with pytest.raises(InvalidCatalogue) as refused:
            read_catalogue(in_tables)
        (problem,) = refused.value.problems
        assert problem.startswith(f"{table}.{key}: must be "), problem


@each_rule
def test_an_example_ends_as_it_must(rule: PageRule) -> None:
    if rule.is_lifecycle:
        shapes = [shape for name, shape in LIFECYCLES if name == rule.example_name]
        for shape in shapes:
            expected = play_lifecycle(rule.example_name, shape).expected
            found = project(facts_of(rule.example_name, shape), SHOP, START)
            assert ending(found) == expected_ending(expected)
        assert shapes, f"use one of {', '.join(SCENARIOS)}"
    else:
        assert rule.example_name in history_names()
        name = rule.example_name
        assert actual_end(name, bodies_of(name)) == expected_end(name)


@each_rule
def test_the_policy_laid_over_an_example_is_one_that_its_rule_names(rule: PageRule) -> None:
    if not rule.is_lifecycle and rule.policy_lines:
        stated = stated_about(rule.example_name)
        laid_over = {(table, key) for table in TABLES for key in stated.get(table, {})}
        assert laid_over <= set(rule.policy_lines)
