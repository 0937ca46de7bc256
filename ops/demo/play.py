"""Run the demo: real servers, real requests, and a check of everything that is shown.

It runs three steps: a single paid checkout, a subscription in the new API shape out of order, and a
one-time purchase in the old shape. Then it sends requests that must be rejected: a repeated event,
forged and stale signatures, a malformed body. Everything is shown as it happens.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from random import Random

from sqlalchemy import text

from ops.demo.metrics import Readings, counter_changes, read_counters
from ops.demo.observation import Observed, observe
from ops.demo.read_api import request_entitlements
from ops.demo.render import Screen
from ops.demo.result import (
    Delivered,
    DemoResult,
    DemoStep,
    RejectionCheck,
    metric_problems,
    problems,
)
from ops.demo.stopwatch import Stopwatch
from ops.errors import CommandFailed
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.samples.scenario import DAY, Event
from ops.send.delivery import DUPLICATE, DeliveryClient, EndpointResponse, sign
from ops.send.endpoint import Endpoint
from ops.terminal.formats import format_count, format_duration
from ops.up.stack import Stack
from runtime.database.engine import engine_for
from runtime.settings import required

SETTLE_SECONDS = 60.0
_METRICS_SECONDS = 5.0
_LOOK_SECONDS = 0.05


class Play:
    """One run of the demo on a running stack.

    ``wait_for`` receives the subject of the next wait. Every wait calls ``pause``, and what that
    raises ends the demo.
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
        self._client = DeliveryClient(Endpoint.at(stack.webhook_url), stack.webhook_secret)
        engine = engine_for(stack.database_url, application_name="paidup demo")
        # An event and its rows are committed together, so they are read in one snapshot.
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")

    def run(self) -> DemoResult:
        """Run all steps, show and check their results, and return them.

        Raises:
            CommandFailed: if the events are not settled in time.
        """
        result, screen = DemoResult(), self._screen
        pages = [f"{self._stack.ingest_url}/metrics", f"{self._stack.worker_metrics_url}/metrics"]
        try:
            self._wait_for("the metrics")
            before = read_counters(pages)
            for number, (step, events) in enumerate(_demo_steps(int(time.time())), 1):
                screen.step(number, step)
                result.steps.append(step)
                self._perform(step, events)
                if number == 1:
                    result.first_paid_seconds = self._stopwatch.seconds
                    screen.first_paid(result)
            screen.heading("4. Requests that must be rejected, or not applied twice")
            for check in self._check_rejections(result.steps[0].deliveries[0].event):
                result.rejections.append(check)
                screen.rejection(check)
        finally:
            self._client.close()
            self._engine.dispose()
        result.metrics = self._await_metrics(pages, before, result.sent)
        screen.metrics(result.metrics)
        result.problems = list(problems(result))
        screen.verdict(result)
        return result

    def _perform(self, step: DemoStep, events: Sequence[Event]) -> None:
        for event in events:
            self._wait_for(f"ingest to answer {event.type}")
            delivered = Delivered(event=event, answer=self._deliver(event.body))
            step.deliveries.append(delivered)
            self._screen.sent(delivered)
            self._look(step)
        step.observed = self._await_settled(step)
        self._wait_for("the read API")
        token = required(self._stack.console_token, "PAIDUP_CONSOLE_TOKENS")
        step.read_response = request_entitlements(
            self._stack.console_url, token, step.expected.user_id
        )
        self._screen.read_response(step)

    def _deliver(self, body: bytes) -> EndpointResponse:
        self._pause(0)
        return self._client.deliver(body, pause=self._pause)

    def _look(self, step: DemoStep) -> Observed:
        """Show the events settled since the last look, and return the rows as they are now."""
        sent = [delivered.event.id for delivered in step.deliveries]
        query = text(
            "SELECT id, outcome FROM stripe_events WHERE id = ANY(:ids) ORDER BY applied_at, id"
        )
        with self._engine.connect() as connection:
            for event_id, outcome in connection.execute(query, {"ids": sent}):
                step.outcomes.setdefault(event_id, outcome)
            observed = observe(connection, step.expected.user_id)
        self._screen.rows(step, observed)
        return observed

    def _await_settled(self, step: DemoStep) -> Observed:
        sent = {delivered.event.id for delivered in step.deliveries if delivered.answer.taken}
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            observed = self._look(step)
            missing = sent - step.outcomes.keys()
            if not missing:
                return observed
            if time.monotonic() > until:
                raise CommandFailed(
                    f"{len(missing)} of {format_count(len(sent), 'event')}, such as {min(missing)},"
                    f" were not settled within {format_duration(SETTLE_SECONDS)}:"
                    " run `paidup demo --keep` and look at log/worker.log in its folder"
                )
            self._wait_for(f"{format_count(len(missing), 'event')} to be applied")
            self._pause(_LOOK_SECONDS)

    def _check_rejections(self, event: Event) -> Iterator[RejectionCheck]:
        client, body, now = self._client, event.body, int(time.time())
        self._wait_for("the answers to requests that must be rejected")
        replayed = self._replay(event)
        yield RejectionCheck(title="the first event again", must=DUPLICATE, answer=replayed)
        forged, stale = sign(body, "whsec_guessed", now), sign(body, client.secret, now - DAY)
        for title, must, sent, signature in (
            ("signed with a guessed secret", 403, body, forged),
            ("recorded yesterday", 403, body, stale),
            ("no signature", 400, body, ""),
            ("signed, but no event", 400, b'{"id": "evt_', None),
        ):
            answer = client.post(sent, signature=signature)
            yield RejectionCheck(title=title, must=must, answer=answer)

    def _replay(self, event: Event) -> EndpointResponse:
        """Send an event again until its cached result is there, a moment after its row."""
        until = time.monotonic() + SETTLE_SECONDS
        answer = self._deliver(event.body)
        while answer.status == DUPLICATE and answer.field("result") is None:
            if time.monotonic() > until:
                break
            self._pause(_LOOK_SECONDS)
            answer = self._deliver(event.body)
        return answer

    def _await_metrics(self, pages: Sequence[str], before: Readings, sent: int) -> Readings:
        """Read the counters until they moved: workers count a moment after they commit."""
        self._wait_for("the metrics")
        until = time.monotonic() + _METRICS_SECONDS
        steps = counter_changes(before, read_counters(pages))
        while list(metric_problems(steps, sent)) and time.monotonic() < until:
            self._pause(_LOOK_SECONDS)
            steps = counter_changes(before, read_counters(pages))
        return steps


def _demo_steps(now: int) -> list[tuple[DemoStep, Sequence[Event]]]:
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
        (DemoStep(title=first, expected=alone.expected), alone.events),
        (DemoStep(title=second, expected=subscribed.expected), mixed),
        (DemoStep(title=third, expected=bought.expected), bought.events),
    ]
