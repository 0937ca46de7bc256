"""Name the account and mode in which a request to Stripe is made."""

from dataclasses import dataclass
from typing import Final

from billing.envelope import Envelope
from billing.ids import Realm, realm_of
from runtime.settings import Settings

ORGANISATION_KEY: Final = "sk_org"
"""How the keys of an organisation begin. They have no account of their own, so each request names
one in ``Stripe-Context``: https://docs.stripe.com/keys/organization-api-keys
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAccount:
    """Our own account, or a connected one, in one mode.

    ``context`` is the path of accounts that an event names; it is sent instead of ``account``.
    """

    livemode: bool
    account: str | None = None
    context: str | None = None

    @classmethod
    def own(cls, settings: Settings) -> "ApiAccount":
        """Return the account that the API key belongs to, in the key's mode."""
        is_live = settings.may_fetch(livemode=True) and settings.effective_livemode() != "test"
        return cls(livemode=is_live)

    @classmethod
    def of_event(cls, envelope: Envelope) -> "ApiAccount":
        """Return the account of an event's object; older API versions state no context."""
        context = envelope.payload.get("context")
        return cls(
            livemode=envelope.livemode,
            account=envelope.account,
            context=context if isinstance(context, str) and context else None,
        )

    @property
    def realm(self) -> Realm:
        """The realm of the account's objects."""
        return realm_of(self.account, livemode=self.livemode)

    def options(self, api_key: str) -> dict[str, str]:
        """Return the library's options that make a request in this account."""
        if self.context:
            return {"stripe_context": self.context}
        if self.account is None:
            return {}
        of_organisation = api_key.startswith(ORGANISATION_KEY)
        return {"stripe_context" if of_organisation else "stripe_account": self.account}
