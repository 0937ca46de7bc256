"""The demonstration: real servers, real requests, and everything checked that is shown.

It plays three acts (a single paid checkout, a subscription in the new API shape out of order, a
one-time purchase in the old shape), then lets the wrong things knock: a replayed delivery, a
forged one, a malformed one. ``play`` returns what happened as a document, with a list of all that
is not as it must be.
"""

import time
from collections.abc import Callable, Sequence
from random import Random

from sqlalchemy import Engine, text

from ops.demo_account import Account, Act, Delivered, Knock, problems, result_of, unmoved
from ops.errors import NotDone
from ops.samples.asking import ask
from ops.samples.courier import DUPLICATE, Answer, Courier
from ops.samples.endpoint import Endpoint
from ops.samples.expected import Expected
from ops.samples.lifecycles import compose
from ops.samples.observed import observe
from ops.samples.scrape import Readings, moved, read_counters
from ops.samples.shapes import Shape
from ops.samples.signing import sign
from ops.samples.story import Event
from ops.up import Stack
from runtime.database import engine_for
from runtime.settings import required

SETTLE_SECONDS = 30.0


def play(stack: Stack, *, say: Callable[[str], None], pause: Callable[[float], None]) -> Account:
    """Play the acts on a stack that runs, and judge what became of them.

    Raises:
        NotDone: if the events are not settled in time.
    """
    begun, account = time.monotonic(), Account()
    pages = [f"{stack.ingest_url}/metrics", f"{stack.worker_metrics_url}/metrics"]
    before = read_counters(pages)
    engine = engine_for(stack.database_url, application_name="paidup demo")
    courier = Courier(Endpoint.at(stack.webhook_url), stack.webhook_secret)
    token = required(stack.console_token, "PAIDUP_CONSOLE_TOKENS")
    try:
        say("sending three lifecycles over HTTP")
        account.acts = [_perform(courier, *act) for act in _acts(int(time.time()))]
        say("waiting until every event is settled")
        _await_settled(engine, account.acts, pause)
        say("replaying, forging and garbling")
        account.knocks = _knock(courier, account.acts[0].deliveries[0].event, pause)
        with engine.connect() as connection:
            for act in account.acts:
                act.observed = observe(connection, act.expected.user_id)
                act.told = ask(stack.console_url, token, act.expected.user_id)
    finally:
        courier.close()
        engine.dispose()
    account.metrics = _await_metrics(pages, before, account.sent, pause)
    account.problems = list(problems(account))
    account.seconds = time.monotonic() - begun
    return account


def _acts(now: int) -> list[tuple[str, Expected, Sequence[Event]]]:
    alone = compose("paid_checkout", shape=Shape.NEW, seed=f"{now}", now=now, user_id="usr_123")
    subscribed = compose("first_paid", shape=Shape.NEW, seed=f"{now}", now=now)
    bought = compose("onetime", shape=Shape.OLD, seed=f"{now}", now=now)
    mixed = list(subscribed.events)
    Random(now).shuffle(mixed)  # noqa: S311 - any order will do
    return [
        ("A paid checkout for usr_123, and nothing else", alone.expected, alone.events),
        (
            f"A first paid subscription, API {Shape.NEW.api_version}, out of order",
            subscribed.expected,
            mixed,
        ),
        (
            f"A one-time purchase, API {Shape.OLD.api_version}, in order",
            bought.expected,
            bought.events,
        ),
    ]


def _perform(courier: Courier, title: str, expected: Expected, events: Sequence[Event]) -> Act:
    deliveries = [Delivered(event=e, answer=courier.deliver(e.body)) for e in events]
    return Act(title=title, expected=expected, deliveries=deliveries)


def _await_settled(engine: Engine, acts: Sequence[Act], pause: Callable[[float], None]) -> None:
    deliveries = (delivered for act in acts for delivered in act.deliveries)
    sent = {delivered.event.id for delivered in deliveries if delivered.answer.taken}
    until = time.monotonic() + SETTLE_SECONDS
    while missing := sent - _settled(engine, sent):
        if time.monotonic() > until:
            raise NotDone(
                f"{len(missing)} of {len(sent)} events were not settled within"
                f" {SETTLE_SECONDS:.0f} s, {min(missing)} among them:"
                " run `paidup demo --keep` and look at log/worker.log in its folder"
            )
        pause(0.1)


def _settled(engine: Engine, ids: set[str]) -> set[str]:
    query = text("SELECT id FROM stripe_events WHERE id = ANY(:ids)")
    with engine.connect() as connection:
        return set(connection.execute(query, {"ids": list(ids)}).scalars())


def _knock(courier: Courier, event: Event, pause: Callable[[float], None]) -> list[Knock]:
    stale = sign(event.body, courier.secret, int(time.time()) - 86_400)
    forged = sign(event.body, "whsec_guessed", int(time.time()))
    replayed = _replay(courier, event, pause)
    return [
        Knock(title="the first event again", must=DUPLICATE, answer=replayed),
        Knock(
            title="signed with a guessed secret",
            must=403,
            answer=courier.post(event.body, signature=forged),
        ),
        Knock(
            title="recorded yesterday",
            must=403,
            answer=courier.post(event.body, signature=stale),
        ),
        Knock(title="no signature", must=400, answer=courier.post(event.body, signature="")),
        Knock(title="signed, but no event", must=400, answer=courier.post(b'{"id": "evt_')),
    ]


def _replay(courier: Courier, event: Event, pause: Callable[[float], None]) -> Answer:
    """The cached result stands in the inbox a moment after the row stands in the database."""
    until = time.monotonic() + SETTLE_SECONDS
    answer = courier.post(event.body)
    while result_of(answer) is None and answer.status == DUPLICATE and time.monotonic() < until:
        pause(0.1)
        answer = courier.post(event.body)
    return answer


def _await_metrics(
    pages: Sequence[str], before: Readings, sent: int, pause: Callable[[float], None]
) -> Readings:
    """Workers count after they commit, so the last numbers may be a moment late."""
    until = time.monotonic() + 5.0
    steps = moved(before, read_counters(pages))
    while list(unmoved(steps, sent)) and time.monotonic() < until:
        pause(0.1)
        steps = moved(before, read_counters(pages))
    return steps
