"""A Stripe account: its objects as they are, its clock, and the events that an endpoint hears."""

import json
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, TypeVar, cast

from ops.samples.scenario import Event
from ops.samples.unread_fields import JsonObject
from ops.samples.worlds.records import Record
from ops.samples.worlds.releases import ApiRelease
from ops.samples.worlds.rendering import render, render_event

_ALPHABET: Final = string.ascii_letters + string.digits
Kind = TypeVar("Kind", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One event as the account meant it."""

    at: int
    type: str
    record: Record
    before: Record | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLink:
    """The statement of a person that an object or a customer belongs to a user."""

    at: float
    object_id: str
    user: str
    ended_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonGrant:
    """The statement of a person that a user may have a plan, or features alone.

    ``features`` and ``per_seat`` are those of the plan at that time, or those stated.
    """

    id: str
    at: int
    user: str
    plan: str | None
    features: Mapping[str, bool | int]
    per_seat: tuple[str, ...] = ()
    starts_at: int
    until: int | None
    everywhere: bool = True
    """True if it counts beside every mode and account, False if beside test mode alone."""
    ended_at: float | None = None


class StripeAccount:
    """The simulated account; ``listens`` says which events its endpoint gets.

    ``twins`` is the chance of a second event, under its own id, about one change, and
    ``bare_charges`` that of a charge without a customer, whom then its intent alone names.
    """

    def __init__(
        self,
        *,
        release: ApiRelease,
        at: int,
        livemode: bool = False,
        connected: str | None = None,
        twins: float = 0,
        bare_charges: float = 0,
        listens: Callable[[str, int], bool] = lambda _type, _at: True,
    ) -> None:
        self.release = release
        self.at = at
        self.livemode = livemode
        self.connected = connected
        self.listens = listens
        self.twins = twins
        self.bare_charges = bare_charges
        self.random = Random(0)  # noqa: S311 - worlds must repeat, not be secret
        self.records: dict[str, Record] = {}
        self.events: list[Event] = []
        self.heard: list[Heard] = []
        self.linked: list[UserLink] = []
        self.granted: list[PersonGrant] = []
        self.banked: dict[str, list[int]] = {}
        """Received and given back of each payment, as the bank of the account saw it."""
        self.missed = 0

    @property
    def realm(self) -> str:
        """Mode and account, as Paidup names them."""
        mode = "live" if self.livemode else "test"
        return f"{mode}/{self.connected}" if self.connected else mode

    @property
    def ancient(self) -> bool:
        """True before there were payment intents, checkouts and incomplete subscriptions."""
        return self.release is ApiRelease.V2014

    def id(self, prefix: str, length: int = 24) -> str:
        """Return a new id."""
        return f"{prefix}_{''.join(self.random.choices(_ALPHABET, k=length))}"

    def wait(self, seconds: int) -> int:
        """Let time pass, and return the time."""
        self.at += seconds
        return self.at

    def of(self, kind: type[Kind]) -> Iterator[Kind]:
        """Yield every object of a kind, in the order in which they were made."""
        return (each for each in self.records.values() if isinstance(each, kind))

    def get(self, kind: type[Kind], record_id: str | None) -> Kind:
        """Return an object by its id."""
        found = self.records[record_id or ""]
        assert isinstance(found, kind)  # noqa: S101 - steps name objects of their own
        return found

    def keep(self, record: Kind) -> Kind:
        """Change an object without an event."""
        self.records[record.id] = record
        return record

    def emit(self, event_type: str, record: Kind, *, before: Record | None = None) -> Kind:
        """Make an object or state it again, with an event about it."""
        self.records[record.id] = record
        if not self.release.knows(event_type):
            return record
        if not self.listens(event_type, self.at):
            self.missed += 1
            return record
        self._send(event_type, record, before)
        return record

    def change(self, event_type: str, record: Kind, **changes: object) -> Kind:
        """Change an object, with an event that says what was before."""
        known = self.records[record.id]
        changed = cast("Kind", replace(cast("Any", known), **changes))
        return self.emit(event_type, changed, before=known)

    def _send(self, event_type: str, record: Record, before: Record | None) -> None:
        shape = self.release.shape
        stated = render(record, shape)
        if "livemode" in stated:
            stated["livemode"] = self.livemode
        data: JsonObject = {"object": stated}
        if before is not None:
            data["previous_attributes"] = old_value(render(before, shape), stated)
            data["previous_attributes"].pop("livemode", None)
        self._deliver(event_type, record, data, before)
        if self.random.random() < self.twins:
            self._deliver(event_type, record, data, before)

    def _deliver(
        self, event_type: str, record: Record, data: JsonObject, before: Record | None
    ) -> None:
        event_id = self.id("evt")
        envelope = render_event(
            event_type,
            data,
            event_id=event_id,
            created=self.at,
            api_version=self.release,
            livemode=self.livemode,
            connected=self.connected,
            request=self.id("iar", 14) if self.ancient else None,
        )
        body = json.dumps(envelope, indent=2).encode()
        self.events.append(Event(id=event_id, type=event_type, created=self.at, body=body))
        self.heard.append(Heard(at=self.at, type=event_type, record=record, before=before))


def old_value(before: Any, after: Any) -> Any:
    """Return a changed value as it was; of an object only the fields that changed."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return before
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: old_value(before.get(name), after.get(name)) for name in sorted(changed)}
