from datetime import timedelta

from ops.doctor.findings import State
from ops.doctor.stripe.check_deliveries import INVOICES, UNDELIVERED, check_deliveries
from ops.doctor.stripe.seen import SeenAtStripe, UndeliveredEvents
from tests.ops.doctor.stripe.fake_endpoints import ALL_TYPES, NOW, destination, expected, seen


def said(shown: SeenAtStripe) -> dict[str, tuple[State, str]]:
    return {each.check: (each.state, each.says) for each in check_deliveries(shown, expected())}


def undelivered(*, more: bool = False, **types: int) -> UndeliveredEvents:
    named = {name.replace("__", "."): number for name, number in types.items()}
    return UndeliveredEvents(types=named, oldest=NOW - timedelta(hours=5), more=more)


def test_all_is_well_while_everything_was_acknowledged() -> None:
    found = said(seen(destination()))

    assert {state for state, _ in found.values()} == {State.OK}
    assert found.keys() == {UNDELIVERED, INVOICES}


def test_undelivered_events_are_counted_by_type_with_the_oldest() -> None:
    found = undelivered(more=True, charge__failed=1, invoice__paid=499)

    state, says = said(seen(destination(), undelivered=found))[UNDELIVERED]

    assert state is State.WARNING
    assert "at least 500 events" in says
    assert "499 invoice.paid, 1 charge.failed" in says
    assert "5 h ago" in says


def test_an_unacknowledged_invoice_holds_up_its_own_collection() -> None:
    found = undelivered(invoice__created=2)

    state, says = said(seen(destination(), undelivered=found))[INVOICES]

    assert (state, "72 hours" in says) == (State.PROBLEM, True)


def test_ours_is_named_as_well_while_some_endpoint_holds_invoices_up() -> None:
    risky = destination(types=ALL_TYPES | {"invoice.created"})
    found = check_deliveries(seen(risky, undelivered=undelivered(invoice__created=2)), expected())

    invoices = [each.state for each in found if each.check == INVOICES]
    assert invoices == [State.PROBLEM, State.WARNING]


def test_an_endpoint_that_need_not_have_the_type_can_do_without_the_risk() -> None:
    risky = destination(types=ALL_TYPES | {"invoice.created"})

    assert said(seen(risky))[INVOICES][0] is State.WARNING
    assert said(seen(destination(types=frozenset({"*"}))))[INVOICES][0] is State.WARNING


def test_what_the_key_may_not_read_is_not_guessed() -> None:
    blind = SeenAtStripe(destinations=None, undelivered=None, undelivered_read=False, now=NOW)

    assert said(blind) == {}
