"""Share Stripe's limit of requests among all processes: one budget for each account and mode.

The limit is the account's, so the company's own checkout shares it with Paidup, which uses a fifth
unless a setting says otherwise. The budget is in Redis (``runtime/inbox/lua/budget.lua``): each
request books its turn there. What an event or a person waits for goes first. A 429 pauses
everything of ours.
https://docs.stripe.com/rate-limits
"""

import re
import time
from collections.abc import Callable
from typing import Final, Literal
from urllib.parse import urlsplit

import redis

from billing.fetching.record import ApiResponse
from runtime.inbox.api_requests import ApiRequests
from runtime.inbox.scripts import Scripts
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import (
    ApiAway,
    ApiFailure,
    ApiForbidden,
    ApiLimited,
    ApiRefused,
    BudgetAway,
    RateReached,
)
from runtime.time_limits import BUDGET_WAIT_SECONDS

Caller = Literal["fetch", "plans", "doctor", "backfill", "reconcile"]
"""The part of Paidup that asks, as ``runtime.telemetry.API_CALLERS`` lists them."""

LIMITS: Final = {True: 100.0, False: 25.0}
"""Stripe's limit in requests a second for an account, by live mode."""

ENDPOINT_LIMIT: Final = 25.0
"""Stripe's limit in requests a second for one endpoint."""

SHARE: Final = 0.2
"""The part of the limit that Paidup uses by itself."""

BULK: Final = frozenset({"backfill", "reconcile"})
"""The callers that send many requests, and for which neither events nor people wait."""

_GO: Final = 0
_LIMITED: Final = 2
_NAME: Final = re.compile(r"v[0-9]|[a-z_]+")
"""A part of a path that is no id: ids have digits or capital letters."""

_KNOWN_RESULTS: Final[dict[type[ApiFailure], str]] = {
    ApiLimited: "limited",
    ApiAway: "away",
    ApiForbidden: "forbidden",
    ApiRefused: "refused",
}


def rate_by_default(settings: Settings, *, livemode: bool) -> float:
    """Return the requests a second to an account: the setting, else a fifth of the limit."""
    limit = LIMITS[livemode]
    return min(settings.stripe_requests_per_second or SHARE * limit, limit)


class RequestBudget:
    """The turns of one caller; for one thread at a time.

    Without a client the turns are those of this process alone. ``rate`` is a run's own limit in
    requests a second, given by hand. One above the default raises the rate of all while the run
    goes on.
    """

    def __init__(
        self,
        client: redis.Redis | None,
        settings: Settings,
        *,
        caller: Caller,
        rate: float | None = None,
        pause: Callable[[float], None] = time.sleep,
        prefix: str = "paidup:",
    ) -> None:
        self._shared = _Shared(client, prefix) if client is not None else None
        self._settings = settings
        self._caller = caller
        self._rate = rate
        self._pause = pause
        self._next_at = float("-inf")
        """The next turn while Redis is away, by the monotonic clock."""

    def take(self, account: ApiAccount, request: str, *, reads: bool = True) -> None:
        """Wait until the request may be sent.

        Raises:
            ApiLimited: Stripe answered 429 to any of our processes, and the pause is not over.
            RateReached: an event or a person would wait for long.
            BudgetAway: Redis does not answer, and the caller sends many requests.
        """
        if self._shared is None:
            self._take_locally(account)
            return
        try:
            while not self._take_shared(self._shared, account, request, reads=reads):
                pass
        except redis.RedisError as error:
            if self._caller in BULK:
                raise BudgetAway(type(error).__name__) from error
            self._take_locally(account)

    def _take_shared(
        self, shared: "_Shared", account: ApiAccount, request: str, *, reads: bool
    ) -> bool:
        """Wait, and return True if the request may be sent then, False to book again."""
        state, seconds, limit = self._book(shared, account, request, reads=reads)
        if state == _LIMITED:
            raise ApiLimited(seconds, limit, sent=False)
        if self._caller not in BULK and seconds > BUDGET_WAIT_SECONDS:
            raise RateReached(seconds)
        if seconds > 0:
            self._pause(seconds)
            # Stripe may have answered 429 to somebody meanwhile.
            if (pause := shared.requests.pause(account.realm)) is not None:
                raise ApiLimited(pause.seconds, pause.limit, sent=False)
        return state == _GO

    def _book(
        self, shared: "_Shared", account: ApiAccount, request: str, *, reads: bool
    ) -> tuple[int, float, str]:
        limit = LIMITS[account.livemode]
        state, milliseconds, reason = shared.scripts.run(
            "budget_take",
            *(account.realm, endpoint_of(request), self._caller if self._caller in BULK else ""),
            rate_by_default(self._settings, livemode=account.livemode),
            *(min(self._rate or 0.0, limit), ENDPOINT_LIMIT, "read" if reads else "write"),
        )
        return state, milliseconds / 1000, reason.decode(errors="replace")

    def _take_locally(self, account: ApiAccount) -> None:
        """Keep to the rate in this process alone; others that go on do the same."""
        now = time.monotonic()
        turn = max(self._next_at, now)
        processes = self._settings.fetch_at_once if self._caller == "fetch" else 1
        rate = rate_by_default(self._settings, livemode=account.livemode) / processes
        self._next_at = turn + 1 / rate
        if turn > now:
            self._pause(turn - now)

    def note(self, account: ApiAccount, result: ApiResponse | ApiFailure) -> None:
        """Count the result, and pause everything of ours after a 429."""
        if self._shared is None:
            return
        limited = result if isinstance(result, ApiLimited) else None
        try:
            self._shared.scripts.run(
                "budget_note",
                *(account.realm, self._caller, _result(result)),
                *((round(limited.seconds * 1000), limited.limit) if limited else (0, "")),
            )
        except redis.RedisError as error:
            if self._caller in BULK:
                raise BudgetAway(type(error).__name__) from error


class _Shared:
    """The part in Redis, which all processes share."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self.scripts = Scripts(client, prefix)
        self.requests = ApiRequests(client, prefix=prefix)


def endpoint_of(request: str) -> str:
    """Return the path of a request without its query, and with no id: Stripe's endpoint."""
    parts = urlsplit(request).path.strip("/").split("/")
    return "/" + "/".join(part if _NAME.fullmatch(part) else ":id" for part in parts)


def _result(result: ApiResponse | ApiFailure) -> str:
    if isinstance(result, ApiFailure):
        return _KNOWN_RESULTS[type(result)]
    return "gone" if result.gone else "answered"
