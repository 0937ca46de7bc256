"""Keys of Stripe's API: mode and rights, and the account in which a request is answered."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.stripe.account import FakeStripeAccount
from tests.stripe.refusals import StripeRefusal

RIGHTS: Final[Mapping[str, str]] = {
    "/v1/account": "accounts_kyc_basic",
    "/v1/charges": "charge",
    "/v1/checkout/sessions": "checkout_session",
    "/v1/credit_notes": "credit_note",
    "/v1/customers": "customer",
    "/v1/disputes": "dispute",
    "/v1/entitlements": "entitlement",
    "/v1/events": "event",
    "/v1/invoice_payments": "invoice",
    "/v1/invoices": "invoice",
    "/v1/payment_intents": "payment_intent",
    "/v1/prices": "plan",
    "/v1/products": "product",
    "/v1/refunds": "charge",
    "/v1/subscription_items": "subscription",
    "/v1/subscriptions": "subscription",
    "/v1/webhook_endpoints": "webhook",
    "/v2/core/event_destinations": "webhook",
    "/v2/core/events": "event",
}
"""The right that each path needs; its name ends in ``_read``, or ``_write`` for other methods."""

_PREFIX: Final = re.compile(r"((sk|rk)(_org)?_(test|live)_)?")


@dataclass(frozen=True)
class ApiKey:
    """A key; ``rights`` are those of a restricted one, as ``customer_read``, None for all."""

    text: str
    rights: frozenset[str] | None = None

    @property
    def livemode(self) -> bool:
        return "_live_" in self.text

    @property
    def of_organisation(self) -> bool:
        return self.text.startswith("sk_org")

    @property
    def redacted(self) -> str:
        """The key as Stripe's errors show it."""
        begin = _PREFIX.match(self.text)[0]  # type: ignore[index]  # it matches anything
        hidden = max(len(self.text) - len(begin) - 4, 0)
        return f"{begin}{'*' * hidden}{self.text[-4:]}"

    def may(self, right: str) -> bool:
        """Return whether it has a right; one to write contains that to read."""
        if self.rights is None:
            return True
        return right in self.rights or right.replace("_read", "_write") in self.rights


def find_key(keys: Iterable[ApiKey], authorization: str) -> ApiKey:
    """Return the key of a request.

    Raises:
        StripeRefusal: there is none, or it is none of ours.
    """
    text = authorization.removeprefix("Bearer ")
    if not text:
        raise StripeRefusal(401, "You did not provide an API key.")
    found = next((key for key in keys if key.text == text), None)
    if found is None:
        raise StripeRefusal(401, f"Invalid API Key provided: {ApiKey(text).redacted}")
    return found


def find_account(
    key: ApiKey, accounts: Iterable[FakeStripeAccount], headers: Mapping[str, str]
) -> FakeStripeAccount:
    """Return the account in which a request is answered, the first of its mode if it names none.

    An account that is alone answers for all that a request may name, and one that a mode lacks has
    no objects.

    Raises:
        StripeRefusal: it names an account that the key does not reach, or lacks a header.
    """
    given = {name.lower(): value for name, value in headers.items()}
    if key.of_organisation:
        for name in ("Stripe-Context", "Stripe-Version"):
            if name.lower() not in given:
                text = f"Requests with an organization API key must include the {name} header."
                raise StripeRefusal(400, text)
    named = given.get("stripe-context") or given.get("stripe-account")
    wanted = named.rpartition("/")[2] if named else None
    every = list(accounts)
    for account in every:
        alone = len(every) == 1
        if account.livemode == key.livemode and (alone or wanted in (None, account.id)):
            return account
    if wanted is None:
        return FakeStripeAccount(livemode=key.livemode)
    raise StripeRefusal(
        403,
        f"The provided key '{key.redacted}' does not have access to account '{wanted}' "
        "(or that account does not exist). Application access may have been revoked.",
        code="account_invalid",
    )


def refuse_without_right(key: ApiKey, account_id: str, method: str, path: str) -> None:
    """Refuse a request for which a restricted key lacks the right.

    Raises:
        StripeRefusal: it lacks the right, which the message names.
    """
    kind = next((RIGHTS[each] for each in RIGHTS if f"{path}/".startswith(f"{each}/")), None)
    right = f"{kind}_{'read' if method == 'GET' else 'write'}"
    if kind is not None and not key.may(right):
        raise StripeRefusal(
            403,
            f"The provided key '{key.redacted}' does not have the required permissions for this "
            f"endpoint on account '{account_id}'. Having the 'rak_{right}' permission would allow "
            "this request to continue.",
        )


def similar_object(
    refusal: StripeRefusal, stripe_id: str, key: ApiKey, accounts: Iterable[FakeStripeAccount]
) -> StripeRefusal:
    """Return the refusal about a missing object, which may say that the other mode has it."""
    if refusal.error.get("code") != "resource_missing" or refusal.status != 404:
        return refusal
    others = (account for account in accounts if account.livemode != key.livemode)
    if all(account.state_of(stripe_id) is None for account in others):
        return refusal
    mine, other = ("live", "test") if key.livemode else ("test", "live")
    text = (
        f"{refusal.error['message']}; a similar object exists in {other} mode, but a {mine} mode "
        "key was used to make this request."
    )
    return StripeRefusal(404, text, code="resource_missing", param="id")
