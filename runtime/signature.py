"""Verify Stripe's signature in three steps, each with its own errors.

``read_header`` parses the header (else the request is malformed), ``verify`` compares signatures
(else it is forged), ``check_age`` compares the clock (else it is a replay, or from the future,
which Stripe's library accepts). The reasons come from these steps, never from messages of the
library.

SignatureRefused
 ├── SignatureMissing      no header
 ├── SignatureUnreadable   a header that is incomplete or ambiguous
 ├── SignatureMismatch     made with none of the endpoint's secrets
 ├── TimestampStale        signed too long ago
 └── TimestampFuture       signed in the future
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
    """Root of all reasons to refuse a signature."""


class SignatureMissing(SignatureRefused):
    """The request carries no ``Stripe-Signature`` header."""

    def __init__(self) -> None:
        super().__init__("the Stripe-Signature header is missing")


class SignatureUnreadable(SignatureRefused):
    """The header does not have exactly one timestamp and at least one signature."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        super().__init__(f"the Stripe-Signature header cannot be read: {fault}")


class SignatureMismatch(SignatureRefused):
    """No signature was made with any of the secrets."""

    def __init__(self) -> None:
        super().__init__("the signature matches no secret of this endpoint")


class TimestampStale(SignatureRefused):
    """The signature is genuine and too old: a replay, or a wrong clock."""

    def __init__(self) -> None:
        super().__init__("the signature is older than the tolerance allows")


class TimestampFuture(SignatureRefused):
    """The signature is genuine and from the future: a wrong clock, or a prepared replay."""

    def __init__(self) -> None:
        super().__init__("the signature lies further in the future than the tolerance allows")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureHeader:
    """The content of a valid header, without signatures that can never match."""

    timestamp: int
    signatures: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join((f"t={self.timestamp}", *(f"{_SCHEME}={s}" for s in self.signatures)))


def read_header(text: str | None) -> SignatureHeader:
    """Parse a ``Stripe-Signature`` header, and ignore unknown fields.

    Raises:
        SignatureMissing: there is no header.
        SignatureUnreadable: ``t`` is missing, given twice or not a number, or ``v1`` is missing.
    """
    if not text:
        raise SignatureMissing
    fields = [(name.strip(), value.strip()) for name, _, value in _split(text)]
    signatures = [value for name, value in fields if name == _SCHEME]
    if not signatures:
        raise SignatureUnreadable("it has no v1 signature")
    return SignatureHeader(
        timestamp=_timestamp([value for name, value in fields if name == "t"]),
        # The library raises TypeError for non-ASCII signatures.
        signatures=tuple(value for value in signatures if value.isascii()),
    )


def verify(body: str, header: SignatureHeader, secrets: Sequence[str]) -> str:
    """Return the secret that made one of the signatures. Tries all, to take the same time.

    Raises:
        SignatureMismatch: none of the secrets did.
    """
    matching = [secret for secret in secrets if _matches(body, str(header), secret)]
    if not matching:
        raise SignatureMismatch
    return matching[0]


def check_age(header: SignatureHeader, *, now: datetime, tolerance_seconds: int) -> None:
    """Compare the signature's timestamp with the clock, in both directions.

    Raises:
        TimestampStale: further in the past than the tolerance.
        TimestampFuture: further in the future than the tolerance.
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
