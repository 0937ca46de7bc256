"""Lifecycles of one-time purchases, played by the simulator's steps."""

from ops.samples.sample_plans import LIFETIME, MONTHLY
from ops.samples.scenario import DAY
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.records import Charge, Intent, Session
from ops.samples.worlds.steps import buying, people
from ops.samples.worlds.steps.subscribing import Names


def paid_checkout(account: StripeAccount, user: str) -> None:
    """Check out a plan as a guest, at an endpoint that hears of checkouts alone."""
    account.listens = lambda event_type, _at: event_type.startswith("checkout.session.")
    names = Names(reference=user, metadata={"user_id": user, "plan_code": "premium"})
    buying.check_out(account, None, MONTHLY.amount, names)


def onetime(account: StripeAccount, user: str) -> None:
    """Buy something once and pay at once."""
    _buy(account, user)


def refund_full(account: StripeAccount, user: str) -> None:
    """Refund a purchase in full."""
    _refund(account, _buy(account, user), LIFETIME.amount)


def refund_partial(account: StripeAccount, user: str) -> None:
    """Refund a part, which by policy keeps access."""
    _refund(account, _buy(account, user), 4000)


def dispute_lost(account: StripeAccount, user: str) -> None:
    """Dispute a purchase; the cardholder wins."""
    _dispute(account, _buy(account, user), "lost")


def dispute_won(account: StripeAccount, user: str) -> None:
    """Dispute a purchase; the shop wins."""
    _dispute(account, _buy(account, user), "won")


def async_payment(account: StripeAccount, user: str) -> None:
    """Pay by a bank debit: the checkout is complete four days before the money arrives."""
    buying.settle_debit(account, _buy(account, user, capture="delayed"))


def checkout_expired(account: StripeAccount, user: str) -> None:
    """Let a checkout expire unpaid."""
    customer = people.arrive(account, metadata={"user_id": user})
    buying.expire(account, customer, LIFETIME.amount, _names(user))


def _names(user: str) -> Names:
    return Names(reference=user, metadata={"user_id": user, "price_id": LIFETIME.price})


def _buy(account: StripeAccount, user: str, *, capture: str = "automatic") -> Session:
    stated = {"user_id": user}
    customer = people.arrive(account, metadata=stated)
    return buying.check_out(
        account, customer, LIFETIME.amount, _names(user), capture=capture, copied=stated
    )


def _charge(account: StripeAccount, session: Session) -> Charge:
    return account.get(Charge, account.get(Intent, session.intent).latest_charge)


def _refund(account: StripeAccount, session: Session, amount: int) -> None:
    account.wait(3 * DAY)
    back = buying.refund(account, _charge(account, session), amount)
    account.wait(1)
    account.change("charge.refund.updated", back, receipt_number="1871-2207")


def _dispute(account: StripeAccount, session: Session, ends: str) -> None:
    account.wait(10 * DAY)
    opened = buying.dispute(account, _charge(account, session), status="needs_response")
    account.wait(DAY)
    opened = account.change("charge.dispute.updated", opened, status="under_review")
    buying.end_dispute(account, opened, ends)
