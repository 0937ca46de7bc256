"""Error messages tell the operator what to do."""

from billing.errors import InvalidCatalogue, MalformedEvent, UnreadableEvent


def test_errors_say_what_is_wrong_and_keep_its_parts() -> None:
    unreadable = UnreadableEvent("evt_1", "data.object.id")
    unusable = InvalidCatalogue(("plans.a: is wrong", "plans.b: is too"))

    assert str(MalformedEvent("there is no id")) == "not a Stripe event: there is no id"
    assert str(unreadable).endswith("; look at its payload, then replay or discard it")
    assert str(unusable) == "the plans are not usable: plans.a: is wrong; plans.b: is too"
    assert unusable.problems == ("plans.a: is wrong", "plans.b: is too")
