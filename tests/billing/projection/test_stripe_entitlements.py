"""Stripe's own features are a source of their own."""

from tests.billing.fact_builders import at, customer, only_grant, project_facts, summary

KNOWN = customer("usr_1")


def test_each_lookup_key_is_a_feature_that_is_true() -> None:
    row = only_grant(project_facts(KNOWN, summary("basic", "pro", seconds=5, event="evt_s")))

    assert row.entitlements == {"basic": True, "pro": True}
    assert (row.user_id, row.source, row.plan_code) == ("usr_1", "cus_1", "stripe")
    assert (row.active, row.event_id, row.starts_at) == (True, "evt_s", at(5))
    assert row.because == "Stripe lists these features for customer cus_1."


def test_the_newest_whole_list_counts() -> None:
    facts = [KNOWN, summary("a", "b"), summary("b", seconds=5)]

    assert only_grant(project_facts(facts)).entitlements == {"b": True}


def test_an_empty_list_ends_all_features_and_keeps_their_names() -> None:
    row = only_grant(project_facts(KNOWN, summary("a"), summary(seconds=5)))

    assert not row.active
    assert row.entitlements == {"a": True}
    assert row.because == "Stripe lists no feature for customer cus_1 any more."


def test_a_customer_who_never_had_a_feature_has_no_row() -> None:
    assert not project_facts(KNOWN, summary()).entitlements


def test_a_cut_list_grants_what_it_lists_and_ends_nothing() -> None:
    facts = [
        KNOWN,
        summary("old"),
        summary("a", "b", seconds=1),
        summary("c", seconds=2, complete=False),
        summary("d", seconds=3, complete=False),
    ]
    projection = project_facts(facts)

    assert only_grant(projection).entitlements == dict.fromkeys("abcd", True)
    assert only_grant(projection).because.endswith("in a list that was cut off.")
    assert projection.incomplete_summaries == {"cus_1"}


def test_a_list_cut_at_ten_ends_none_of_the_twelve_before_it() -> None:
    names = [f"feature_{number:02}" for number in range(12)]
    facts = [KNOWN, summary(*names), summary(*names[2:], seconds=5, complete=False)]

    assert only_grant(project_facts(facts)).entitlements == dict.fromkeys(names, True)
    assert only_grant(
        project_facts(facts, summary(*names[:3], seconds=9))
    ).entitlements == dict.fromkeys(names[:3], True)


def test_a_list_fetched_whole_settles_what_a_cut_one_left_open() -> None:
    projection = project_facts(KNOWN, summary("c", complete=False), summary("a", seconds=1))

    assert only_grant(projection).entitlements == {"a": True}
    assert not projection.incomplete_summaries


def test_features_without_user_wait() -> None:
    projection = project_facts(summary("a"))

    assert projection.waiting
    assert not projection.entitlements


def test_features_follow_the_customer_to_another_user() -> None:
    rows = project_facts(KNOWN, summary("a"), customer("usr_2", 5)).entitlements.values()

    assert {row.user_id: row.active for row in rows} == {"usr_1": False, "usr_2": True}
    (former,) = (row for row in rows if not row.active)
    assert former.because == "cus_1 belongs to another user now."


def test_two_lists_of_one_second_are_a_guess() -> None:
    assert only_grant(
        project_facts(KNOWN, summary("a", event="1"), summary("b", event="2"))
    ).guessed
    assert not only_grant(project_facts(KNOWN, summary("a"))).guessed
