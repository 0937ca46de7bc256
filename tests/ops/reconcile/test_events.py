"""Stripe's events against ours, with real servers and a Stripe on loopback."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

import pytest

from billing.envelope import Envelope, parse
from billing.fetching.record import ApiResponse
from ops.reconcile.event_comparison import NOT_PROVEN
from ops.reconcile.events import MORE
from ops.reconcile.run import ComparisonFailed
from ops.samples.scenario import Event
from ops.stripe_runs.asking import PatientApi
from ops.terminal.interrupt import Interrupted
from runtime.reconciling import ComparedPart
from runtime.stripe_api.accounts import ApiAccount
from tests.ops.ops_env import yesterday
from tests.ops.reconcile.stripe_side import BothSides, ids

pytestmark = pytest.mark.servers

_IDLE = (
    "SELECT query FROM pg_stat_activity"
    " WHERE datname = current_database() AND state = 'idle in transaction'"
)


@pytest.fixture
def purchase(sides: BothSides) -> list[Event]:
    """The events of a purchase, which happened at Stripe."""
    events = [*sides.floor.books.compose("onetime").events]
    sides.happen(*events)
    return events


def test_both_agree_if_everything_arrived(sides: BothSides, purchase: list[Event]) -> None:
    sides.floor.take_in(*purchase)

    run, statement = sides.reconcile()

    assert sides.differences(run) == {}
    assert statement.document()["events"] == len(purchase)
    assert sides.run_row(run).state == "done"


def test_a_preview_names_what_never_arrived_and_puts_nothing_in(
    sides: BothSides, purchase: list[Event]
) -> None:
    sides.floor.take_in(*purchase[:2])

    run, statement = sides.reconcile()

    assert set(sides.states(run)) == ids(purchase[2:])
    assert set(sides.states(run).values()) == {"stands"}
    assert statement.document()["agrees"] is False
    assert set(sides.settled()) == ids(purchase[:2])


def test_what_never_arrived_is_put_in_applied_and_audited(
    sides: BothSides, purchase: list[Event]
) -> None:
    sides.floor.take_in(*purchase[:2])

    run, statement = sides.reconcile(apply=True)

    assert set(sides.states(run).values()) == {"repaired"}
    assert statement.document()["agrees"] is True
    assert {sides.settled()[each.id] for each in purchase[2:]} == {"reconcile"}
    asked_for = sides.floor.audited("reconcile.requested")
    assert {(actor, reason) for actor, _, reason in asked_for} == {("ada", "a test")}
    assert {target for _, target, _ in asked_for} == ids(purchase[2:])


def test_a_second_run_finds_nothing(sides: BothSides, purchase: list[Event]) -> None:
    sides.reconcile(apply=True)

    run, statement = sides.reconcile(apply=True)

    assert sides.differences(run) == {}
    assert statement.document()["events"] == len(purchase)


def test_an_event_that_waits_in_the_inbox_is_not_missing(
    sides: BothSides, purchase: list[Event]
) -> None:
    sides.floor.take_in(*purchase[1:])
    sides.floor.inbox.accept(_envelope(purchase[0]))

    run, _ = sides.reconcile()

    assert sides.differences(run) == {}
    assert sides.run_row(run).counts["waiting"] == 1


def test_a_young_event_is_moving_and_stays_out(sides: BothSides, purchase: list[Event]) -> None:
    newest = max(purchase, key=lambda each: each.created)
    sides.api.clock = lambda: newest.created + 60

    run, statement = sides.reconcile(apply=True)

    assert sides.states(run)[newest.id] == "moving"
    assert newest.id not in sides.settled()
    assert statement.document()["agrees"] is True


def test_a_dead_letter_is_left_to_a_person(
    sides: BothSides, purchase: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    with yesterday(monkeypatch, unreadable=True):
        sides.floor.take_in(*purchase)

    run, statement = sides.reconcile(apply=True)

    assert set(sides.states(run).values()) == {"left"}
    assert set(sides.floor.letters().values()) == {"open"}
    assert statement.document()["agrees"] is False


def test_an_event_that_no_reader_reads_is_not_missing(sides: BothSides) -> None:
    sides.api.account.learn(
        {
            "id": "evt_product",
            "object": "event",
            "type": "product.updated",
            "created": int(sides.floor.books.now.timestamp()),
            "livemode": False,
            "data": {"object": {"id": "prod_1", "object": "product", "created": 1}},
        }
    )

    run, _ = sides.reconcile(apply=True)

    assert sides.differences(run) == {}
    assert sides.run_row(run).counts["not read"] == 1


def _envelope(event: Event) -> Envelope:
    return parse(event.body)


def test_only_undelivered_events_are_asked_for_by_one_request(
    sides: BothSides, purchase: list[Event]
) -> None:
    here, elsewhere, *rest = purchase
    sides.floor.take_in(elsewhere, *rest)
    sides.api.account.undelivered |= {here.id, elsewhere.id}

    run, statement = sides.reconcile(parts=(ComparedPart.UNDELIVERED,))

    assert sides.states(run) == {here.id: "stands"}
    assert statement.document()["events"] == 1
    assert sides.run_row(run).requests == len(sides.api.asked) == 1
    assert "delivery_success=false" in sides.api.paths()[0]


def test_a_check_of_undelivered_events_that_goes_on_counts_each_once(
    sides: BothSides, purchase: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.floor.take_in(*purchase)
    sides.api.account.undelivered |= ids(purchase)
    parts = (ComparedPart.UNDELIVERED,)
    with monkeypatch.context() as patched:
        patched.setattr("ops.reconcile.run._end", interrupted)
        with pytest.raises(Interrupted):
            sides.reconcile(parts=parts)

    _, statement = sides.reconcile(parts=parts)

    assert statement.document()["events"] == len(purchase)


def interrupted(*_: object) -> NoReturn:
    raise Interrupted


def test_an_answer_that_is_no_list_leaves_the_run_to_go_on(sides: BothSides) -> None:
    sides.api.body = b'{"object": "list"}'

    with pytest.raises(ComparisonFailed, match="answers no list; run the same command again"):
        sides.reconcile(parts=(ComparedPart.UNDELIVERED,))

    assert sides.floor.scalars("SELECT owner FROM stripe_runs") == [None]


def test_the_check_of_undelivered_events_reads_only_some_pages(
    sides: BothSides, purchase: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.reconcile.events.MOST_PAGES", 2)
    sides.api.account.page_size = 1
    sides.api.account.undelivered |= ids(purchase)

    _, statement = sides.reconcile(parts=(ComparedPart.UNDELIVERED,))

    assert len(sides.api.asked) == 2
    assert statement.document()["not_compared"] == [MORE]


def test_checks_of_undelivered_events_that_found_nothing_are_kept_once(sides: BothSides) -> None:
    first, second = (sides.reconcile(parts=(ComparedPart.UNDELIVERED,))[0] for _ in range(2))

    assert sides.floor.scalars("SELECT id FROM stripe_runs") == [second]
    assert first != second


def test_the_schedule_puts_nothing_in_before_one_event_of_the_account_was_settled(
    sides: BothSides, purchase: list[Event]
) -> None:
    run, statement = sides.reconcile(apply=True, scheduled=True)

    assert statement.document()["not_compared"] == [NOT_PROVEN]
    assert set(sides.states(run).values()) == {"stands"}
    assert sides.settled() == {}


def test_the_schedule_puts_in_what_is_missing_of_an_account_that_is_ours(
    sides: BothSides, purchase: list[Event]
) -> None:
    sides.floor.take_in(purchase[0])

    sides.reconcile(apply=True, scheduled=True)

    assert set(sides.settled()) == ids(purchase)


def test_no_transaction_is_open_while_stripe_is_asked_whose_the_key_is(
    sides: BothSides, purchase: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe may pause us for longer than PostgreSQL lets a transaction idle."""
    sides.floor.take_in(purchase[0])
    opened: list[object] = []
    ask = PatientApi.ask

    def watched(api: PatientApi, request: str) -> ApiResponse:
        opened.extend(sides.floor.scalars(_IDLE))
        return ask(api, request)

    monkeypatch.setattr(PatientApi, "ask", watched)

    sides.reconcile(apply=True)

    assert set(sides.settled()) == ids(purchase)
    assert opened == []


def test_nothing_of_another_account_is_put_in(sides: BothSides, purchase: list[Event]) -> None:
    ours = sides.floor.books.compose("onetime", seed="ours").events
    sides.floor.take_in(*ours)

    with pytest.raises(ComparisonFailed, match="belongs to another account"):
        sides.reconcile(apply=True)

    assert set(sides.settled()) == ids(ours)
    assert sides.floor.scalars("SELECT state FROM stripe_runs") == ["failed"]


def test_samples_among_the_newest_events_do_not_make_the_account_another_one(
    sides: BothSides, purchase: list[Event]
) -> None:
    samples = sides.floor.books.compose("onetime", seed="ours").events
    sides.floor.take_in(purchase[0], *samples[:2])

    sides.reconcile(apply=True)

    assert set(sides.settled()) == ids(purchase) | ids(samples[:2])


def test_no_day_of_another_account_is_closed_though_nothing_is_missing_on_it(
    sides: BothSides,
) -> None:
    sides.floor.take_in(*sides.floor.books.compose("onetime", seed="ours").events)

    with pytest.raises(ComparisonFailed, match="belongs to another account"):
        sides.reconcile()

    assert sides.floor.scalars("SELECT day FROM reconciled_days") == []


def test_an_event_of_a_connected_account_gets_the_account_that_its_webhook_states(
    sides: BothSides, purchase: list[Event]
) -> None:
    connected = ApiAccount(livemode=False, account="acct_1")

    sides.reconcile(apply=True, account=connected)

    (payload, *_) = sides.floor.scalars("SELECT payload FROM stripe_events")
    assert json.loads(payload)["account"] == "acct_1"
    assert {request.headers["Stripe-Account"] for request in sides.api.asked} == {"acct_1"}


def test_a_day_that_agreed_twice_is_not_read_again(sides: BothSides, purchase: list[Event]) -> None:
    old = [_days_ago(each, 5) for each in purchase]
    sides.happen(*old)
    sides.floor.take_in(*purchase, *old)

    read = [sides.reconcile()[1].document()["events"] for _ in range(3)]

    assert read == [2 * len(purchase), 2 * len(purchase), len(purchase)]
    assert sides.reconcile(every_day=True)[1].document()["events"] == 2 * len(purchase)


def test_a_day_with_an_open_event_stays_open(sides: BothSides, purchase: list[Event]) -> None:
    old = [_days_ago(each, 5) for each in purchase]
    sides.happen(*old)
    sides.floor.take_in(*purchase, *old[1:])

    read = [sides.run_row(sides.reconcile()[0]).counts["events"] for _ in range(3)]

    assert read == [2 * len(purchase)] * 3


def test_only_the_days_since_a_date_are_read(sides: BothSides, purchase: list[Event]) -> None:
    sides.happen(*(_days_ago(each, 5) for each in purchase))
    sides.floor.take_in(*purchase)

    run, statement = sides.reconcile(first=sides.floor.books.now.date() - timedelta(days=2))

    assert sides.differences(run) == {}
    assert statement.document()["events"] == len(purchase)


def test_what_stripe_keeps_for_longer_than_it_promises_is_compared(
    sides: BothSides, purchase: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.reconcile.event_days.KEPT_DAYS", 3)
    old = _days_ago(purchase[0], 20)
    sides.happen(old)
    sides.floor.take_in(*purchase)

    run, _ = sides.reconcile()

    assert sides.states(run) == {old.id: "stands"}


def test_a_run_that_was_stopped_goes_on_and_asks_for_no_page_twice(
    sides: BothSides, purchase: list[Event]
) -> None:
    sides.api.account.page_size = 1
    sides.floor.take_in(*purchase[:-1])
    sides.is_stopping = lambda: len(sides.lists_asked()) > 2

    with pytest.raises(Interrupted):
        sides.reconcile()
    sides.is_stopping = lambda: False

    run, statement = sides.reconcile()

    assert statement.document()["events"] == len(purchase) - 1
    assert sides.run_row(run).counts["events"] == len(purchase)
    assert sides.floor.scalars("SELECT count(*) FROM stripe_runs") == [1]


def test_an_event_whose_thin_twin_is_settled_is_not_missing(
    sides: BothSides, purchase: list[Event]
) -> None:
    charge = next(each for each in purchase if each.type == "charge.succeeded")
    stated = charge.payload["data"]["object"]
    snapshot = {"id": "evt_snapshot", "object": "event", "type": "charge.updated"}
    created = int(sides.floor.books.now.timestamp())
    sides.api.account.learn(
        {**snapshot, "created": created, "livemode": False, "data": {"object": stated}}
    )
    sides.floor.take_in(*purchase)
    before, _ = sides.reconcile()

    sides.floor.books.observe("evt_thin", stated)
    after, _ = sides.reconcile()

    assert sides.states(before) == {"evt_snapshot": "stands"}
    assert sides.differences(after) == {}


def _days_ago(event: Event, days: int) -> Event:
    payload = {**event.payload, "id": f"{event.id}old"}
    payload["created"] -= days * 86_400
    body = json.dumps(payload).encode()
    return replace(event, id=payload["id"], created=payload["created"], body=body)
