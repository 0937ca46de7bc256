"""Run the checks that ask Stripe, one account after the other."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import redis

from ops.doctor.check_clock import check_clock
from ops.doctor.findings import Finding, problem, warning
from ops.doctor.stripe.ask import AskStripe, StripeReader
from ops.doctor.stripe.check_deliveries import check_deliveries
from ops.doctor.stripe.check_endpoint import check_endpoints
from ops.doctor.stripe.check_key import KEY, check_key, check_read_requests
from ops.doctor.stripe.check_use_of_secrets import USE, check_use_of_secrets
from ops.doctor.stripe.rights import check_rights
from ops.doctor.stripe.seen import ExpectedDelivery, SeenAtStripe
from runtime.inbox.api_requests import ALLOCATION, ApiRequests
from runtime.inbox.signatures import SignatureRecord
from runtime.settings import Settings
from runtime.stripe_api.accounts import ORGANISATION_KEY, ApiAccount
from runtime.stripe_api.client import API_VERSION
from runtime.stripe_api.errors import ApiFailure

_CLOCK: Final = "clock of Stripe"


def expected_delivery(settings: Settings, url: str | None) -> ExpectedDelivery:
    """Return the deliveries that the settings ask for; ``url`` replaces their public URL."""
    return ExpectedDelivery(
        url=url or settings.public_url,
        path=settings.webhook_path,
        livemode=settings.effective_livemode(),
        accounts=settings.connect_accounts,
        version=API_VERSION,
    )


def account_asked(settings: Settings) -> ApiAccount:
    """Return the account whose endpoints are looked at: the key's own.

    The key of an organisation has none, so it is the first of the listed ones.
    """
    own = ApiAccount.own(settings)
    if (settings.stripe_api_key or "").startswith(ORGANISATION_KEY):
        return ApiAccount(
            livemode=own.livemode, account=min(settings.connect_accounts, default=None)
        )
    return own


class StripeExamination:
    """The checks of one deployment; ``seen`` is what Stripe showed, once it was asked."""

    def __init__(
        self, settings: Settings, api: AskStripe, client: redis.Redis | None, url: str | None
    ) -> None:
        self.expected = expected_delivery(settings, url)
        self.seen: SeenAtStripe | None = None
        self._settings = settings
        self._client = client
        self._reader = StripeReader(api, account_asked(settings))

    def findings(self) -> Iterator[Finding]:
        """Yield the findings of every check; a failure of Stripe's is a finding."""
        self.seen = None
        yield from check_key(self._settings)
        try:
            yield check_clock(_CLOCK, self._reader.now)
            yield from check_rights(self._reader.try_rights())
            self.seen = self._reader.look()
        except ApiFailure as failure:
            yield problem(KEY, f"Stripe was asked in vain: {failure}; run it again once it answers")
        if self.seen is not None:
            yield from check_endpoints(self.seen, self.expected)
            yield from check_deliveries(self.seen, self.expected)
        yield from self._from_redis()

    def _from_redis(self) -> Iterator[Finding]:
        if self._client is None:
            return
        try:
            last_used = SignatureRecord(self._client).last_used()
            usage = ApiRequests(self._client).usage()
        except redis.RedisError as error:
            says = f"Redis does not answer ({type(error).__name__}), so no use is known"
            yield warning(USE, f"{says}: run `paidup doctor`")
            return
        now = datetime.now(UTC)
        yield from check_use_of_secrets(self._settings.webhook_secrets, last_used, now)
        sent = max((each.in_30_days for each in usage), default=0)
        yield check_read_requests(sent, ALLOCATION)
