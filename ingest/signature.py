"""Whether Stripe signed these bytes, and when: three questions, asked one after the other.

``read_header`` understands the header (else the request is malformed), ``verify`` compares
signatures (else it is forged), ``check_age`` compares the clock (else it is a replay, or from
the future, which Stripe's library lets pass). The reasons come from these steps, never from the
library's messages.

SignatureRefused
 ├── SignatureMissing      no header
 ├── SignatureUnreadable   a header that says too little, or two things
 ├── SignatureMismatch     no secret of ours made it
 ├── TimestampStale        signed too long ago
 └── TimestampFuture       signed after now
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stripe import SignatureVerificationError, WebhookSignature

_SCHEME: Final = "v1"
_SANE_TIMESTAMP: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


class SignatureRefused(Exception):
    """The root of everything that speaks against a signature."""


class SignatureMissing(SignatureRefused):
    """The request carries no ``Stripe-Signature`` header."""

    def __init__(self) -> None:
        super().__init__("the Stripe-Signature header is missing")


class SignatureUnreadable(SignatureRefused):
    """The header does not say exactly one timestamp and at least one signature."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        super().__init__(f"the Stripe-Signature header cannot be read: {fault}")


class SignatureMismatch(SignatureRefused):
    """None of the secrets made any of the signatures."""

    def __init__(self) -> None:
        super().__init__("the signature matches no secret of this endpoint")


class TimestampStale(SignatureRefused):
    """The signature is genuine and too old: somebody sends it again."""

    def __init__(self) -> None:
        super().__init__("the signature is older than the tolerance allows")


class TimestampFuture(SignatureRefused):
    """The signature is genuine and from the future: a clock is wrong, or a replay is prepared."""

    def __init__(self) -> None:
        super().__init__("the signature is dated further ahead than the tolerance allows")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureHeader:
    """What a readable header says; signatures that could never match are left out."""

    timestamp: int
    signatures: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join((f"t={self.timestamp}", *(f"{_SCHEME}={s}" for s in self.signatures)))


def read_header(text: str | None) -> SignatureHeader:
    """Understand a ``Stripe-Signature`` header, whatever else it holds.

    Raises:
        SignatureMissing: there is none.
        SignatureUnreadable: ``t`` missing, given twice or not a sane number; no ``v1``.
    """
    if not text:
        raise SignatureMissing
    fields = [(name.strip(), value.strip()) for name, _, value in _split(text)]
    signatures = [value for name, value in fields if name == _SCHEME]
    if not signatures:
        raise SignatureUnreadable("it has no v1 signature")
    return SignatureHeader(
        timestamp=_timestamp([value for name, value in fields if name == "t"]),
        # The library raises TypeError for these instead of comparing them.
        signatures=tuple(value for value in signatures if value.isascii()),
    )


def verify(body: str, header: SignatureHeader, secrets: Sequence[str]) -> str:
    """The secret that made one of the signatures; every secret is tried, matching or not.

    Raises:
        SignatureMismatch: no secret did.
    """
    matching = [secret for secret in secrets if _matches(body, str(header), secret)]
    if not matching:
        raise SignatureMismatch
    return matching[0]


def check_age(header: SignatureHeader, *, now: datetime, tolerance_seconds: int) -> None:
    """Hold the signature's own timestamp against the clock, in both directions.

    Raises:
        TimestampStale: further in the past than the tolerance.
        TimestampFuture: further ahead than the tolerance.
    """
    age = int(now.timestamp()) - header.timestamp
    if age > tolerance_seconds:
        raise TimestampStale
    if -age > tolerance_seconds:
        raise TimestampFuture


def _split(text: str) -> list[tuple[str, str, str]]:
    return [item.partition("=") for item in text.split(",")]


def _timestamp(values: list[str]) -> int:
    if len(values) != 1:
        raise SignatureUnreadable("it must have exactly one t")
    if not _SANE_TIMESTAMP.fullmatch(values[0]):
        raise SignatureUnreadable("its t is not a number of seconds")
    return int(values[0])


def _matches(body: str, header: str, secret: str) -> bool:
    try:
        return bool(WebhookSignature.verify_header(body, header, secret, tolerance=None))
    except SignatureVerificationError:
        return False
