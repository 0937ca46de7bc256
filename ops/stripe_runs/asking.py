"""Ask Stripe patiently: obey each pause, and try again what was not answered."""

import random
from collections.abc import Callable, Iterator
from typing import Final

from billing.fetching.observations import ApiObservation
from billing.fetching.plan import next_request, observations_in, too_early
from billing.fetching.record import ApiResponse, FetchPlan, FetchRecord
from ops.stripe_runs.lists import EVERYTHING, FEATURES, Span, StripeList, page_request
from ops.stripe_runs.pages import ListPage, read_page
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.client import StripeApi
from runtime.stripe_api.errors import ApiAway, ApiLimited
from runtime.time_limits import STRIPE_AGAIN_SECONDS

Pause = Callable[[float], None]
"""Sleep for seconds; may raise to stop what is under way."""

_JITTER: Final = 0.5
"""The part of a pause that is added by chance, so that readers do not come back together."""


class PatientApi:
    """A client that waits for its answer; for one thread at a time.

    ``sent`` counts the requests, those without an answer as well.
    """

    def __init__(self, api: StripeApi, account: ApiAccount, pause: Pause) -> None:
        self.account = account
        self.sent = 0
        self._api = api
        self._pause = pause

    def ask(self, request: str) -> ApiResponse:
        """Return the answer to a GET.

        Raises:
            ApiFailure: Stripe did not answer several times, or refuses the request or the key.
        """
        pauses = iter(STRIPE_AGAIN_SECONDS)
        while True:
            try:
                return self._ask_once(request)
            except ApiLimited as limited:
                self._pause(limited.seconds)
            except ApiAway:
                if (seconds := next(pauses, None)) is None:
                    raise
                self._pause(seconds * (1 + _JITTER * random.random()))  # noqa: S311 - no secret

    def pages(self, wanted: StripeList, span: Span = EVERYTHING) -> Iterator[ListPage]:
        """Yield the pages of a list, newest first; none is asked for before it is wanted.

        Raises:
            ApiFailure: as ``ask`` does; also if an answer is no page of a list.
        """
        after, has_more = None, True
        while has_more:
            page = read_page(wanted, 0, self.ask(page_request(wanted, span, after=after)))
            yield page
            has_more = page.has_more
            after = str(page.objects[-1]["id"]) if has_more else None

    def close(self) -> None:
        """Close the connection; nothing is asked any more."""
        self._api.close()

    def _ask_once(self, request: str) -> ApiResponse:
        self.sent += 1
        try:
            return self._api.ask(request, self.account)
        except ApiLimited as limited:
            self.sent -= not limited.sent
            raise

    def fetch(self, targets: FetchPlan) -> tuple[ApiObservation, ...]:
        """Return what Stripe shows of each object by itself, with all pages of its lists.

        The features of a customer are one target: of the family of their summary, by his id.

        Raises:
            ApiFailure: as ``ask`` does; also if an answer is never later than ``later_than``.
        """
        fetched = FetchRecord(targets=targets)
        for seconds in (*STRIPE_AGAIN_SECONDS, None):
            while (request := next_request(fetched)) is not None:
                fetched = fetched.with_response(self.ask(request))
            if not too_early(fetched):
                break
            if seconds is None:
                raise ApiAway("the answers are of the second in question")
            self._pause(seconds)
            fetched = FetchRecord(targets=targets)
        return observations_in(fetched)

    def has_features(self) -> bool:
        """Return True if the account has any feature, so that customers may be entitled to some.

        Raises:
            ApiFailure: as ``ask`` does.
        """
        return bool(self.ask(page_request(FEATURES, EVERYTHING, size=1)).body.get("data"))
