"""The lines of an invoice or a checkout: the newest whole list, with later cut lists over it."""

from billing.facts import Line
from billing.objects.lines import fold_lines
from tests.billing.fact_builders import line

A, B, C = (line(id=name) for name in ("il_a", "il_b", "il_c"))
CHANGED = line(id="il_b", amount=5)


def test_a_cut_list_changes_and_adds_lines_and_removes_none() -> None:
    lists: list[tuple[tuple[Line, ...], bool]] = [((A, B), True), ((CHANGED, C), False)]

    assert fold_lines(lists) == ((A, CHANGED, C), False)


def test_a_whole_list_replaces_what_was_known() -> None:
    assert fold_lines([((A, B), True), ((C,), False), ((B,), True)]) == ((B,), True)


def test_lines_are_known_whole_as_long_as_cut_lists_show_no_new_one() -> None:
    assert fold_lines([((A, B), True), ((A, CHANGED), False)]) == ((A, CHANGED), True)
    assert fold_lines([((A, B), True), ((B,), False)]) == ((A, B), True)


def test_a_cut_list_alone_is_not_whole_even_if_it_is_repeated() -> None:
    assert fold_lines([((A,), False), ((A,), False)]) == ((A,), False)
    assert fold_lines([((A,), False)]).complete is False
    assert fold_lines([]).complete is False


def test_lines_without_an_id_differ_by_their_place() -> None:
    first, second = line("price_1", id=None), line("price_2", id=None)

    assert fold_lines([((first, second), True)]) == ((first, second), True)
