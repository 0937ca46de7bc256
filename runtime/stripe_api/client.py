"""Send requests to Stripe's API: one at a time, each bounded in time, none repeated.

The API version is pinned, so that a newer library changes nothing before Paidup's readers were
tested with it. Only processes that fetch import this module, because the library is large.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import isnan
from typing import Any, Final, Literal, TypeVar

import stripe

from billing.errors import MalformedEvent
from billing.fetching.record import GONE, ApiResponse, read_response
from billing.text import storable
from runtime.event_body import decode
from runtime.settings import Settings, required
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.budget import RequestBudget
from runtime.stripe_api.errors import (
    ApiAway,
    ApiFailure,
    ApiForbidden,
    ApiLimited,
    ApiRefused,
    without_keys,
)
from runtime.time_limits import (
    API_ANSWER_SECONDS,
    API_CONNECT_SECONDS,
    API_LIMITED_SECONDS,
    API_SILENCE_SECONDS,
    MAX_FETCH_REST,
    MIN_LIMITED_REST,
)

API_VERSION: Final = "2026-10-28.endive"

_MISSING: Final = frozenset({"resource_missing", "not_found"})
"""Stripe's codes for an object that does not exist; any other 404 concerns the URL."""

_OTHER_MODE: Final = "a similar object exists in"
"""Part of Stripe's sentence about a test object asked for with a live key, and the reverse."""

_OK: Final = 200
_LONGEST_REASON: Final = 100

Method = Literal["get", "post"]

T = TypeVar("T")


class StripeApi:
    """A client with one key and kept connections; for one thread at a time.

    With a budget each request waits for its turn among all of ours. Without one, which is for
    tests, it is sent at once.
    """

    def __init__(
        self,
        client: stripe.StripeClient,
        bodies: "BodyKeeper",
        *,
        api_key: str,
        budget: RequestBudget | None = None,
        whole_seconds: float = API_ANSWER_SECONDS,
    ) -> None:
        self._client = client
        self._bodies = bodies
        self._api_key = api_key
        self._budget = budget
        self._whole_seconds = whole_seconds
        self._bounded = Bounded()

    def ask(self, request: str, account: ApiAccount) -> ApiResponse:
        """Send a GET for a path with its query; a missing object answers.

        The answer is dated by the second before the request was sent, by Stripe's clock.

        Raises:
            ApiFailure: there is no answer.
        """
        return self._counted("get", request, account, {})

    def send(self, path: str, form: Mapping[str, Any], account: ApiAccount) -> ApiResponse:
        """Send a POST, which changes something at Stripe, and return the object that it answers.

        Raises:
            ApiFailure: there is no answer; the change may have been made all the same.
        """
        return self._counted("post", path, account, form)

    def close(self) -> None:
        """End the thread and its connection, once the request under way has ended."""
        self._bounded.end(self._bodies.close)

    def _counted(
        self, method: Method, request: str, account: ApiAccount, form: Mapping[str, Any]
    ) -> ApiResponse:
        if self._budget is None:
            return self._exchange(method, request, account, form)
        self._budget.take(account, request, reads=method == "get")
        try:
            response = self._exchange(method, request, account, form)
        except ApiFailure as failure:
            self._budget.note(account, failure)
            raise
        self._budget.note(account, response)
        return response

    def _exchange(
        self, method: Method, request: str, account: ApiAccount, form: Mapping[str, Any]
    ) -> ApiResponse:
        sent = _Sent(request=request, at=time.monotonic())
        try:
            headers, body = self._bounded.call(
                lambda: self._request(method, request, account, form), self._whole_seconds
            )
        except stripe.StripeError as error:
            return _gone_or_raise(sent, error)
        except TimeoutError as error:
            self._bounded = Bounded()
            whole = f"no complete answer within {self._whole_seconds:g} s"
            raise ApiAway(whole) from error
        except Exception as error:  # the library fails in other ways on a malformed answer
            raise ApiAway(without_keys(f"{type(error).__name__}: {error}")) from error
        return _answer(sent, _OK, headers, body)

    def _request(
        self, method: Method, request: str, account: ApiAccount, form: Mapping[str, Any]
    ) -> tuple[Mapping[str, str], str]:
        options = account.options(self._api_key)
        response = self._client.raw_request(method, request, **form, **options)
        return response.headers, self._bodies.last()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A request, and the time at which it was sent, in seconds of the monotonic clock."""

    request: str
    at: float


def make_api(settings: Settings, budget: RequestBudget | None = None, **timing: float) -> StripeApi:
    """Return a client for the API that the settings name. Sends nothing yet."""
    stripe.enable_telemetry = False
    # The library's line for each request would name every object that is fetched.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    silence = timing.pop("silence_seconds", API_SILENCE_SECONDS)
    base: Any = {"api": settings.stripe_api_base} if settings.stripe_api_base else {}
    api_key = required(settings.stripe_api_key, "STRIPE_API_KEY")
    bodies = BodyKeeper(timeout=(API_CONNECT_SECONDS, silence))
    client = stripe.StripeClient(
        api_key,
        stripe_version=API_VERSION,
        base_addresses=base,
        # Retries of the library would block a worker. Events to retry wait in the inbox.
        max_network_retries=0,
        http_client=bodies,
    )
    return StripeApi(client, bodies, api_key=api_key, budget=budget, **timing)


class BodyKeeper(stripe.RequestsClient):
    """The library's HTTP client, with each body kept as it came.

    The library parses a body by itself, which is of no use here: a page of a hundred events takes
    it 4 ms, and orjson 1 ms. Of a 200 it gets an empty object instead.
    """

    def __init__(self, timeout: tuple[float, float]) -> None:
        super().__init__(timeout=timeout)
        self._kept = threading.local()

    def request(  # type: ignore[override]  # its base has one more parameter, which is not given
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send one request, as the library does."""
        body, status, answered = super().request(method, url, headers, post_data)
        self._kept.body = body
        return (b"{}" if status == _OK else body), status, answered

    def last(self) -> str:
        """Return the body of this thread's last request; raises ``UnicodeDecodeError``."""
        body: bytes = self._kept.body
        return body.decode()


class Bounded:
    """A thread that runs one call at a time, for which the caller waits a bounded time.

    The library's own limits bound the pause between two bytes, not the whole answer. After a
    timeout the caller drops this object, and the thread ends when its current call returns.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="stripe-api", daemon=True).start()

    def call(self, work: Callable[[], T], seconds: float) -> T:
        """Run ``work``, and return or raise its result.

        Raises:
            TimeoutError: it took longer.
        """
        done: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

        def job() -> None:
            try:
                done.put((work(), None))
            except Exception as error:  # noqa: BLE001 - raised again in the caller
                done.put((None, error))

        self._jobs.put(job)
        try:
            value, error = done.get(timeout=seconds)
        except queue.Empty:
            self._jobs.put(_end)
            raise TimeoutError from None
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # set if there is no error

    def end(self, last: Callable[[], None]) -> None:
        """Run ``last`` after the current call, and then end the thread."""
        self._jobs.put(last)
        self._jobs.put(_end)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not _end:
            job()


def _end() -> None:
    """End the thread; never called."""


def _gone_or_raise(sent: _Sent, error: stripe.StripeError) -> ApiResponse:
    status, headers = error.http_status, error.headers or {}
    says = without_keys(error.user_message or type(error).__name__)
    if _OTHER_MODE in says:
        raise ApiForbidden(says) from error
    if status == GONE and error.code in _MISSING:
        return _answer(sent, GONE, headers, error.http_body or "{}")
    if isinstance(error, stripe.RateLimitError):
        limit = _get(headers, "Stripe-Rate-Limited-Reason") or ""
        raise ApiLimited(_rest(headers), storable(limit)[:_LONGEST_REASON]) from error
    if status in {401, 403}:
        raise ApiForbidden(says) from error
    # A 2xx raised as an error was not JSON; a proxy in between sent it.
    if status is None or status >= 500 or status < 400 or status in {408, 409, 425}:  # noqa: PLR2004
        raise ApiAway(f"{status or 'no answer'}: {says}") from error
    raise ApiRefused(f"{status}: {says}") from error


def _answer(sent: _Sent, status: int, headers: Mapping[str, str], body: str) -> ApiResponse:
    took = timedelta(seconds=time.monotonic() - sent.at)
    version = storable(_get(headers, "Stripe-Version") or API_VERSION)
    try:
        asked_at = _moment(_get(headers, "Date") or "") - took
        return read_response(sent.request, status, asked_at, body, version, decode=decode)
    except (MalformedEvent, ValueError) as error:
        raise ApiAway(f"an answer that cannot be read: {error}") from error


def _moment(date: str) -> datetime:
    at = parsedate_to_datetime(date)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _rest(headers: Mapping[str, str]) -> float:
    """Return the seconds to pause after a 429, within bounds: even 0 or a day is obeyed by them."""
    try:
        named = float(_get(headers, "Retry-After") or API_LIMITED_SECONDS)
    except ValueError:
        named = API_LIMITED_SECONDS
    if isnan(named):
        named = API_LIMITED_SECONDS
    return min(max(named, MIN_LIMITED_REST.total_seconds()), MAX_FETCH_REST.total_seconds())


def _get(headers: Mapping[str, str], name: str) -> str | None:
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)
