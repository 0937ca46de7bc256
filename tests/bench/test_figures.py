from bench.figures import (
    APPLIED,
    DRAIN,
    END_TO_END,
    FILLED,
    PAIDUP,
    PIPELINE,
    USUAL,
    Figure,
    Figures,
    grown,
    measured_goals,
)
from bench.figures import processes as named
from bench.report import goals, growth, picture, sorted_by_kind, table
from bench.rounds import QUICK


def taken() -> Figures:
    figures = Figures()
    for ours, theirs in ((1500.0, 150.0), (2100.0, 200.0), (1800.0, 225.0)):
        figures.note(END_TO_END, PAIDUP, "events/s", ours)
        figures.note(DRAIN, PIPELINE, "events/s", 5000)
        figures.note(END_TO_END, USUAL, "events/s", theirs)
    figures.note(APPLIED, "1,000/s, p99", "ms", 300)
    return figures


def taken_in_settings() -> Figures:
    figures = taken()
    for setting, rate in ((named(1), 1300.0), (named(4), 1900.0), (FILLED, 1440.0)):
        figures.note(END_TO_END, PAIDUP, "events/s", rate, setting=setting)
    for name, rate in ((named(1), 2500.0), (named(2), 3600.0), (named(3), 3900.0)):
        figures.note(DRAIN, name, "events/s", rate)
    return figures


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert taken().median(END_TO_END, PAIDUP) == 1800
    assert taken().median(END_TO_END, "nobody") is None


def test_what_another_setting_gave_is_a_figure_of_its_own() -> None:
    figures = taken_in_settings()

    assert figures.median(END_TO_END, PAIDUP) == 1800
    assert figures.median(END_TO_END, PAIDUP, named(4)) == 1900
    assert {"setting": "4 processes", "median": 1900.0, "all": [1900.0]}.items() <= next(
        each for each in figures.as_json() if each["setting"] == named(4)
    ).items()


def test_what_was_taken_in_several_settings_grows_and_drains_are_named_by_theirs() -> None:
    assert grown(taken()) == []
    assert grown(taken_in_settings()) == [
        (Figure(END_TO_END, PAIDUP, "events/s"), [1300, 1800, 1900, 1440]),
        (Figure(DRAIN, PAIDUP, "events/s"), [2500, 3600, None, None]),
    ]


def test_a_goal_may_be_about_another_setting() -> None:
    found = {goal.says: value for goal, value in measured_goals(taken_in_settings())}

    assert found["end to end, filled database to an empty one"] == 0.96


def test_a_ratio_is_taken_round_by_round_since_a_machine_may_get_slower_between_them() -> None:
    figures = Figures()
    for ours, theirs in ((3000.0, 400.0), (1400.0, 200.0), (1200.0, 150.0)):
        figures.note(END_TO_END, PAIDUP, "events/s", ours)
        figures.note(END_TO_END, USUAL, "events/s", theirs)

    ((_, value),) = measured_goals(figures)

    assert value == 7.5


def test_goals_are_held_against_ratios_and_left_out_where_nobody_measured() -> None:
    found = {goal.says: (value, goal.reached(value)) for goal, value in measured_goals(taken())}

    assert found == {
        "end to end, Paidup to the usual handler": (10.0, True),
        "p99 to applied at 1,000/s, ms": (300, False),
    }


def test_figures_of_a_kind_stand_together() -> None:
    kinds = [figure.kind for figure, _ in sorted_by_kind(taken().values.items())]

    assert kinds == [END_TO_END, END_TO_END, DRAIN, APPLIED]


def test_tables_and_picture_show_what_was_measured() -> None:
    drawn = picture(taken())

    assert table(taken()).row_count == 4 + len([END_TO_END, DRAIN, APPLIED])
    assert goals(taken()).row_count == 2
    assert drawn.startswith("<svg")
    assert "1,800" in drawn
    assert "dj-stripe" not in drawn


def test_the_table_shows_the_usual_setting_and_another_one_how_figures_grow() -> None:
    kinds = [END_TO_END, DRAIN, APPLIED]

    assert table(taken_in_settings()).row_count == 4 + 3 + len(kinds)
    assert growth(taken_in_settings(), QUICK).row_count == 2 + len([END_TO_END, DRAIN])


def test_the_picture_shows_growth_where_it_was_measured() -> None:
    assert "How that grows" not in picture(taken())
    assert "end to end: 4 processes" in picture(taken_in_settings())
    assert "drain: 1 process<" in picture(taken_in_settings())


def test_a_drain_is_named_by_its_processes_and_its_mix() -> None:
    assert named(1) == "1 process"
    assert named(2, second=True) == "2 processes, second mix"
