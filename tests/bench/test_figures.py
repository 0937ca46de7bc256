from bench.figures import APPLIED, DRAIN, END_TO_END, PAIDUP, PIPELINE, USUAL, Figures, judged
from bench.figures import processes as named
from bench.report import goals, picture, sorted_by_kind, table


def taken() -> Figures:
    figures = Figures()
    for ours, theirs in ((1500.0, 300.0), (2100.0, 200.0), (1800.0, 250.0)):
        figures.note(END_TO_END, PAIDUP, "events/s", ours)
        figures.note(DRAIN, PIPELINE, "events/s", 5000)
        figures.note(END_TO_END, USUAL, "events/s", theirs)
    figures.note(APPLIED, "1,000/s, p99", "ms", 300)
    return figures


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert taken().median(END_TO_END, PAIDUP) == 1800
    assert taken().median(END_TO_END, "nobody") is None


def test_goals_are_held_against_ratios_of_medians_and_left_out_where_nobody_measured() -> None:
    found = {goal.says: (value, goal.reached(value)) for goal, value in judged(taken())}

    assert found == {
        "end to end, Paidup to the usual handler": (7.2, True),
        "p99 to applied at 1,000/s, ms": (300, False),
    }


def test_figures_of_a_kind_stand_together() -> None:
    kinds = [figure.kind for figure, _ in sorted_by_kind(taken())]

    assert kinds == [END_TO_END, END_TO_END, DRAIN, APPLIED]


def test_tables_and_picture_show_what_was_measured() -> None:
    drawn = picture(taken())

    assert table(taken()).row_count == 4
    assert goals(taken()).row_count == 2
    assert drawn.startswith("<svg")
    assert "1,800" in drawn
    assert "dj-stripe" not in drawn


def test_a_drain_is_named_by_its_processes_and_its_mix() -> None:
    assert named(1) == "1 process"
    assert named(2, second=True) == "2 processes, second mix"
