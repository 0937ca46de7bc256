"""What a reconciliation works with: the servers, Stripe's account, and a way to wait."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from ops.stripe_runs.asking import PatientApi
from runtime.inbox.inbox import Inbox
from runtime.ledger.record import Ledger
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.client import StripeApi


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """``pause`` sleeps for seconds and may raise; ``is_stopping`` says that a person wants out."""

    engine: Engine
    inbox: Inbox
    ledger: Ledger
    account: ApiAccount
    make_api: Callable[[], StripeApi]
    pause: Callable[[float], None]
    is_stopping: Callable[[], bool] = lambda: False

    def patient_api(self) -> PatientApi:
        """Return a client of this account that waits for its answers; for one thread."""
        return PatientApi(self.make_api(), self.account, self.pause)
