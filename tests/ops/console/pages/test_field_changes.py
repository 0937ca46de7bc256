from ops.console.pages.field_changes import FieldChange, field_changes

GRANT = {
    "user_id": "usr_1",
    "plan_code": "premium",
    "entitlements": {"signals_enabled": True, "max_devices": 5},
    "active": True,
    "expires_at": "2026-12-01T12:00:00+00:00",
    "party": "test:cus_1",
}


def test_only_what_differs_is_named() -> None:
    changed = {**GRANT, "plan_code": "basic", "party": "test:cus_2"}

    assert field_changes(GRANT, changed) == (
        FieldChange(name="plan code", before="premium", after="basic"),
    )


def test_a_grant_that_begins_gives_its_features_until_its_end() -> None:
    assert field_changes(None, GRANT, "usr_1", "premium") == (
        FieldChange(name="gives", before=None, after="signals_enabled, max_devices 5"),
        FieldChange(name="until", before=None, after="2026-12-01 12:00:00Z"),
    )


def test_a_grant_that_is_no_longer_active_gives_nothing() -> None:
    ended = {**GRANT, "active": False, "expires_at": None}

    assert [each.after for each in field_changes(GRANT, ended)] == [None, None]
    assert field_changes(ended, {**GRANT, "expires_at": None})[1].after == "no end"


def test_empty_fields_are_no_difference() -> None:
    assert field_changes({"reason": "", "of": [], "in": None}, {"reason": None, "of": {}}) == ()


def test_an_amount_is_shown_in_the_units_of_its_currency() -> None:
    before = {"amount_minor": 0, "currency": "usd"}

    assert field_changes(before, {**before, "amount_minor": 9900}) == (
        FieldChange(name="amount", before="0.00 USD", after="99.00 USD"),
    )


def test_a_new_row_does_not_say_what_it_is_not_or_what_stands_beside_it() -> None:
    row = {"payment_ref": "pi_1", "inferred": False, "amount_minor": 0, "status": "pending"}

    assert [each.name for each in field_changes(None, row, "pi_1")] == ["status"]


def test_a_change_to_what_stands_beside_it_is_named() -> None:
    assert field_changes(GRANT, {**GRANT, "plan_code": "basic"}, "basic") == (
        FieldChange(name="plan code", before="premium", after="basic"),
    )


def test_a_long_text_is_cut() -> None:
    (change,) = field_changes(None, {"error": "x" * 5000})

    assert change.after is not None
    assert len(change.after) == 200
