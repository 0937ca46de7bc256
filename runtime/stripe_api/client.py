"""Stripe's API as whoever fetches asks it: one GET at a time, each bounded in time, never repeated.

The version is pinned, so that a newer library changes nothing before our readers were tried with
it. Only processes that fetch import this module: the library is large.
"""

import queue
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import stripe

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from billing.fetching.record import GONE, Answer, answer
from runtime.settings import Settings, required
from runtime.stripe_api.errors import ApiAway, ApiForbidden, ApiLimited, ApiRefused

API_VERSION: Final = "2026-10-28.endive"

CONNECT_SECONDS: Final = 3.0
SILENCE_SECONDS: Final = 10.0
"""Longest wait for the next bytes of an answer."""

WHOLE_SECONDS: Final = 20.0
"""Longest wait for all of it, however steadily it drips; shorter than a claim may be silent."""

_MISSING: Final = frozenset({"resource_missing", "not_found"})
"""What Stripe calls an object that is not there; any other 404 is about the address."""

_OTHER_MODE: Final = "a similar object exists in"
"""Part of Stripe's sentence about a test object asked for with a live key, and the reverse."""

REST_SECONDS: Final = 10.0
"""How long nobody asks where Stripe limits us and does not say for how long."""

T = TypeVar("T")


class StripeApi:
    """Asks with one key, over connections that are kept; for one thread at a time."""

    def __init__(
        self, client: stripe.StripeClient, *, whole_seconds: float = WHOLE_SECONDS
    ) -> None:
        self._client = client
        self._whole_seconds = whole_seconds
        self._bounded = Bounded()

    def ask(self, request: str, envelope: Envelope) -> Answer:
        """Get what is at a path; that nothing is there is an answer too.

        Raises:
            ApiFailure: there is no answer.
        """
        try:
            response = self._bounded.call(
                lambda: self._client.raw_request("get", request, **_account(envelope)),
                self._whole_seconds,
            )
        except stripe.StripeError as error:
            return _gone_or_raise(request, error)
        except TimeoutError as error:
            self._bounded = Bounded()
            whole = f"no whole answer within {self._whole_seconds:g} s"
            raise ApiAway(whole) from error
        except Exception as error:  # the library's own way to choke on an answer
            raise ApiAway(f"{type(error).__name__}: {error}") from error
        return _answer(request, 200, response.headers, response.body)


def make_api(settings: Settings, **timing: float) -> StripeApi:
    """The API that the settings name; nothing is asked yet."""
    stripe.enable_telemetry = False
    silence = timing.pop("silence_seconds", SILENCE_SECONDS)
    base: Any = {"api": settings.stripe_api_base} if settings.stripe_api_base else {}
    client = stripe.StripeClient(
        required(settings.stripe_api_key, "STRIPE_API_KEY"),
        stripe_version=API_VERSION,
        base_addresses=base,
        # Its own repetitions would hold a worker; ours wait in the inbox.
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, silence)),
    )
    return StripeApi(client, **timing)


class Bounded:
    """A thread that works for whoever waits for it no longer than so many seconds.

    The library's own limits bound the silence between two bytes, not the whole. Whoever gave up
    waiting drops this object; its thread ends with the call it hangs in.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="stripe-api", daemon=True).start()

    def call(self, work: Callable[[], T], seconds: float) -> T:
        """What the work returns or raises.

        Raises:
            TimeoutError: it took longer.
        """
        done: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

        def job() -> None:
            try:
                done.put((work(), None))
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                done.put((None, error))

        self._jobs.put(job)
        try:
            value, error = done.get(timeout=seconds)
        except queue.Empty:
            self._jobs.put(_end)
            raise TimeoutError from None
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # without an error it is the work's own

    def _work(self) -> None:
        while (job := self._jobs.get()) is not _end:
            job()


def _end() -> None:
    """The last job of a thread."""


def _account(envelope: Envelope) -> dict[str, str]:
    """Whose object it is: a thin event names the context to ask in, others the account."""
    context = envelope.payload.get("context") if envelope.thin else None
    if isinstance(context, str) and context:
        return {"stripe_context": context}
    return {"stripe_account": envelope.account} if envelope.account else {}


def _gone_or_raise(request: str, error: stripe.StripeError) -> Answer:
    status, headers = error.http_status, error.headers or {}
    says = error.user_message or type(error).__name__
    if _OTHER_MODE in says:
        raise ApiForbidden(says) from error
    if status == GONE and error.code in _MISSING:
        return _answer(request, GONE, headers, error.http_body or "{}")
    if isinstance(error, stripe.RateLimitError):
        raise ApiLimited(_rest(headers)) from error
    if status in {401, 403}:
        raise ApiForbidden(says) from error
    # A 2xx among errors is an answer that was no JSON, from whoever stands in between.
    if status is None or status >= 500 or status < 400 or status in {408, 409, 425}:  # noqa: PLR2004
        raise ApiAway(f"{status or 'no answer'}: {says}") from error
    raise ApiRefused(f"{status}: {says}") from error


def _answer(request: str, status: int, headers: Mapping[str, str], body: str) -> Answer:
    date = _get(headers, "Date")
    try:
        return answer(request, status, _moment(date or ""), body)
    except (MalformedEvent, ValueError) as error:
        raise ApiAway(f"an answer that cannot be read: {error}") from error


def _moment(date: str) -> datetime:
    at = parsedate_to_datetime(date)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _rest(headers: Mapping[str, str]) -> float:
    try:
        return max(float(_get(headers, "Retry-After") or REST_SECONDS), 0.0)
    except ValueError:
        return REST_SECONDS


def _get(headers: Mapping[str, str], name: str) -> str | None:
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)
