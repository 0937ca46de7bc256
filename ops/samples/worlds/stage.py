"""A world while it is played: its accounts, its users, and who is named where."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.records import Customer, Metadata, Record
from ops.samples.worlds.steps.subscribing import Names

Kind = TypeVar("Kind", bound=Record)
Each = TypeVar("Each")


@dataclass(slots=True)
class Stage:
    """The place of actions; ``named`` says how each customer's user is known."""

    account: StripeAccount
    users: Sequence[str]
    clocked: bool = False
    named: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By customer: ``customer``, ``objects``, ``references`` or ``nowhere``, and the user."""
    user_keys: Sequence[str] = ("user_id",)
    """The metadata keys that the shop reads."""

    def pick(self, random: Random, kind: type[Kind], **states: object) -> Kind | None:
        """Return one of the objects with these states, None if there is none."""
        fitting = [
            each
            for each in self.account.of(kind)
            if all(getattr(each, name) in _among(state) for name, state in states.items())
        ]
        return random.choice(fitting) if fitting else None

    def customer(self, random: Random) -> Customer | None:
        """Return one of the customers that are not deleted."""
        return self.pick(random, Customer, deleted=False)

    def user_of(self, random: Random, customer: Customer) -> str:
        """Return the user for whom something is bought: rarely another than the customer's."""
        style, user = self.named[customer.id]
        if style in ("customer", "objects") and happens(random, 0.12):
            return random.choice(self.users)
        return user

    def metadata(self, random: Random, customer: Customer, user: str) -> Metadata:
        """Return what an object states about its user by its own metadata."""
        style, usual = self.named[customer.id]
        if style == "objects":
            silent = happens(random, 0.2)
        else:
            silent = style != "customer" or (user == usual and happens(random, 0.5))
        return {} if silent else self.named_by_key(random, user)

    def named_by_key(self, random: Random, user: str) -> Metadata:
        """Return metadata that names a user under one of the keys, beside an older one."""
        if self.user_keys == ("user_id",):
            return {"user_id": user}
        first = self.user_keys[0]
        older = random.choice(self.users)
        return random.choice([{"user_id": user}, {first: user}, {first: user, "user_id": older}])

    def names(
        self, random: Random, customer: Customer, user: str, goods: Metadata, link: str | None
    ) -> Names:
        """Return what a checkout session states."""
        style, _ = self.named[customer.id]
        metadata = {**self.metadata(random, customer, user), **goods}
        reference = None
        if style == "references":
            reference = user
        elif style == "customer" and happens(random, 0.4):
            reference = f"click_{random.randrange(10**9)}"
        elif set(self.user_keys) & metadata.keys() and happens(random, 0.5):
            reference = user
        return Names(reference=reference, metadata=metadata, payment_link=link)


def _among(state: object) -> tuple[object, ...]:
    return state if isinstance(state, tuple) else (state,)


def happens(random: Random, chance: float) -> bool:
    """Return True with this chance."""
    return random.random() < chance
