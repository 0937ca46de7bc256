"""The demonstration: real servers, real requests, and everything checked that is shown.

It plays three acts (a single paid checkout, a subscription in the new API shape out of order, a
one-time purchase in the old shape), one after the other, then sends what must not pass: a replayed
delivery, a forged one, a malformed one. Everything is shown when it happens.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from random import Random

from sqlalchemy import text

from ops.demo.metrics import Readings, moved, read_counters
from ops.demo.observation import Observed, observe
from ops.demo.read_api import ask
from ops.demo.render import Screen
from ops.demo.result import Account, Act, Delivered, Knock, problems, result_of, unmoved
from ops.demo.stopwatch import Stopwatch
from ops.errors import NotDone
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.samples.scenario import Event
from ops.send.delivery import BUSY, DUPLICATE, LONGEST_WAIT, UNREACHABLE, Answer, Courier, sign
from ops.send.endpoint import Endpoint
from ops.up.stack import Stack
from runtime.database.engine import engine_for
from runtime.settings import required

SETTLE_SECONDS = 60.0
_METRICS_SECONDS = 5.0
_LOOK_SECONDS = 0.05


class Play:
    """One demonstration on a stack that runs.

    ``wait_for`` is told what the next wait is for. ``pause`` is how every wait waits, and what it
    raises ends the demonstration.
    """

    def __init__(
        self,
        stack: Stack,
        screen: Screen,
        *,
        wait_for: Callable[[str], None],
        pause: Callable[[float], None],
        stopwatch: Stopwatch,
    ) -> None:
        self._stack = stack
        self._screen = screen
        self._wait_for = wait_for
        self._pause = pause
        self._stopwatch = stopwatch
        self._courier = Courier(Endpoint.at(stack.webhook_url), stack.webhook_secret)
        engine = engine_for(stack.database_url, application_name="paidup demo")
        # An event and the rows it writes are committed together, so they are read together.
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")

    def whole(self) -> Account:
        """Play all acts, show and judge what became of them, and return the account.

        Raises:
            NotDone: if the events are not settled in time.
        """
        account, screen = Account(), self._screen
        pages = [f"{self._stack.ingest_url}/metrics", f"{self._stack.worker_metrics_url}/metrics"]
        try:
            self._wait_for("the metrics")
            before = read_counters(pages)
            for number, (act, events) in enumerate(_acts(int(time.time())), 1):
                screen.act(number, act)
                account.acts.append(act)
                self._perform(act, events)
                if number == 1:
                    account.first_paid_seconds = self._stopwatch.seconds
                    screen.first_paid(account)
            screen.heading("What must not pass, or not twice")
            for knock in self._knock(account.acts[0].deliveries[0].event):
                account.knocks.append(knock)
                screen.knock(knock)
        finally:
            self._courier.close()
            self._engine.dispose()
        account.metrics = self._await_metrics(pages, before, account.sent)
        screen.metrics(account.metrics)
        account.problems = list(problems(account))
        screen.verdict(account)
        return account

    def _perform(self, act: Act, events: Sequence[Event]) -> None:
        for event in events:
            self._wait_for(f"ingest to answer {event.type}")
            delivered = Delivered(event=event, answer=self._deliver(event.body))
            act.deliveries.append(delivered)
            self._screen.sent(delivered)
            self._look(act)
        act.observed = self._await_settled(act)
        self._wait_for("the read API")
        token = required(self._stack.console_token, "PAIDUP_CONSOLE_TOKENS")
        act.told = ask(self._stack.console_url, token, act.expected.user_id)
        self._screen.told(act)

    def _deliver(self, body: bytes) -> Answer:
        """Send until it is taken or refused for good, as Stripe does."""
        until = time.monotonic() + SETTLE_SECONDS
        self._pause(0)
        answer = self._courier.post(body)
        while answer.status in (BUSY, UNREACHABLE) and time.monotonic() < until:
            self._pause(min(answer.retry_after or 1.0, LONGEST_WAIT))
            answer = self._courier.post(body)
        return answer

    def _look(self, act: Act) -> Observed:
        """Show what has been settled since the last look, and return what stands now."""
        sent = [delivered.event.id for delivered in act.deliveries]
        query = text(
            "SELECT id, outcome FROM stripe_events WHERE id = ANY(:ids) ORDER BY applied_at, id"
        )
        with self._engine.connect() as connection:
            for event_id, outcome in connection.execute(query, {"ids": sent}):
                act.outcomes.setdefault(event_id, outcome)
            observed = observe(connection, act.expected.user_id)
        self._screen.rows(act, observed)
        return observed

    def _await_settled(self, act: Act) -> Observed:
        sent = {delivered.event.id for delivered in act.deliveries if delivered.answer.taken}
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            observed = self._look(act)
            missing = sent - act.outcomes.keys()
            if not missing:
                return observed
            if time.monotonic() > until:
                raise NotDone(
                    f"{len(missing)} of {len(sent)} events were not settled within"
                    f" {SETTLE_SECONDS:.0f} s, {min(missing)} among them:"
                    " run `paidup demo --keep` and look at log/worker.log in its folder"
                )
            self._wait_for(f"{len(missing)} {_events(len(missing))} to be applied")
            self._pause(_LOOK_SECONDS)

    def _knock(self, event: Event) -> Iterator[Knock]:
        courier, body = self._courier, event.body
        self._wait_for("the answers to what must not pass")
        replayed = self._replay(event)
        yield Knock(title="the first event again", must=DUPLICATE, answer=replayed)
        forged = courier.post(body, signature=sign(body, "whsec_guessed", int(time.time())))
        yield Knock(title="signed with a guessed secret", must=403, answer=forged)
        yesterday = sign(body, courier.secret, int(time.time()) - 86_400)
        stale = courier.post(body, signature=yesterday)
        yield Knock(title="recorded yesterday", must=403, answer=stale)
        unsigned = courier.post(body, signature="")
        yield Knock(title="no signature", must=400, answer=unsigned)
        garbled = courier.post(b'{"id": "evt_')
        yield Knock(title="signed, but no event", must=400, answer=garbled)

    def _replay(self, event: Event) -> Answer:
        """The cached result stands in the inbox a moment after the row stands in the database."""
        until = time.monotonic() + SETTLE_SECONDS
        answer = self._deliver(event.body)
        while _is_without_result(answer) and time.monotonic() < until:
            self._pause(_LOOK_SECONDS)
            answer = self._deliver(event.body)
        return answer

    def _await_metrics(self, pages: Sequence[str], before: Readings, sent: int) -> Readings:
        """Workers count after they commit, so the last numbers may be a moment late."""
        self._wait_for("the metrics")
        until = time.monotonic() + _METRICS_SECONDS
        steps = moved(before, read_counters(pages))
        while list(unmoved(steps, sent)) and time.monotonic() < until:
            self._pause(_LOOK_SECONDS)
            steps = moved(before, read_counters(pages))
        return steps


def _acts(now: int) -> list[tuple[Act, Sequence[Event]]]:
    alone = compose("paid_checkout", shape=Shape.NEW, seed=f"{now}", now=now, user_id="usr_123")
    subscribed = compose("first_paid", shape=Shape.NEW, seed=f"{now}", now=now)
    bought = compose("onetime", shape=Shape.OLD, seed=f"{now}", now=now)
    mixed = list(subscribed.events)
    Random(now).shuffle(mixed)  # noqa: S311 - any order will do
    new, old = Shape.NEW.api_version, Shape.OLD.api_version
    first = "A paid checkout for usr_123, and nothing else"
    second = f"A first paid subscription, API {new}, out of order"
    third = f"A one-time purchase, API {old}, in order"
    return [
        (Act(title=first, expected=alone.expected), alone.events),
        (Act(title=second, expected=subscribed.expected), mixed),
        (Act(title=third, expected=bought.expected), bought.events),
    ]


def _is_without_result(answer: Answer) -> bool:
    return answer.status == DUPLICATE and result_of(answer) is None


def _events(number: int) -> str:
    return "event" if number == 1 else "events"
