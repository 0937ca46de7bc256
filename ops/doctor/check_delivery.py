"""Try a delivery that was saved against the secrets, and say why ingest would not take it.

    header -read-> timestamp and signatures -match-> secret -age-> -parse-> event

The checks are those of ingest, in its order. Where no secret matches, usual mistakes are tried: a
body that was changed on its way, a secret without its beginning.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from billing.errors import MalformedEvent
from ops.doctor.body_changes import earlier_bodies
from ops.doctor.findings import Finding, ok, problem, warning
from ops.send.delivery import sign
from ops.terminal.formats import format_duration, format_time
from runtime.event_body import parse
from runtime.settings import Settings
from runtime.signature import (
    SignatureHeader,
    SignatureMismatch,
    SignatureRefused,
    TimestampFuture,
    TimestampStale,
    check_age,
    read_header,
    verify,
)
from runtime.telemetry import secret_fingerprint

_NAME: Final = "stripe-signature:"
_SIGNATURE: Final = "signature"
_BODY: Final = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedDelivery:
    """A body and its ``Stripe-Signature`` header, with or without the header's name."""

    body: bytes = field(repr=False)
    header: str

    def read_header(self) -> SignatureHeader:
        """Parse the header.

        Raises:
            SignatureMissing, SignatureUnreadable: as ingest would refuse it.
        """
        text = self.header.strip().strip("'\"")
        if text.lower().startswith(_NAME):
            text = text[len(_NAME) :].strip()
        return read_header(text)


def check_delivery(
    delivery: SavedDelivery, settings: Settings, *, now: datetime
) -> Iterator[Finding]:
    """Yield what each check of ingest would say of the delivery if it came at ``now``."""
    if len(delivery.body) > settings.max_body_bytes:
        says = f"has {len(delivery.body)} bytes, PAIDUP_MAX_BODY_BYTES is {settings.max_body_bytes}"
        yield problem(_BODY, f"{says}: ingest answers 413; raise it")
    if not settings.webhook_secrets:
        yield problem(_SIGNATURE, "STRIPE_WEBHOOK_SECRET is not set: set it to try the delivery")
        return
    try:
        header = delivery.read_header()
    except SignatureRefused as refused:
        yield problem(_SIGNATURE, _about_header(delivery.header, refused))
        return
    signers = [secret for secret in settings.webhook_secrets if _made(secret, header, delivery)]
    yield from _secrets(settings.webhook_secrets, signers)
    if not signers:
        yield problem(_SIGNATURE, _cause(delivery, header, settings.webhook_secrets))
        return
    yield _age(header, settings.signature_tolerance_seconds, now)
    yield _event(delivery.body)


def _about_header(text: str, refused: SignatureRefused) -> str:
    schemes = {part.partition("=")[0].strip() for part in text.split(",")}
    if "v0" in schemes and "v1" not in schemes:
        return (
            "has v0 alone, which Stripe adds to test events and which proves nothing: give the"
            " whole Stripe-Signature header, with its v1"
        )
    return f"{refused}: give the whole Stripe-Signature header, t=...,v1=... (ingest answers 400)"


def _made(secret: str, header: SignatureHeader, delivery: SavedDelivery) -> bool:
    try:
        verify(delivery.body.decode(), header, (secret,))
    except (SignatureMismatch, UnicodeDecodeError):
        return False
    return True


def _secrets(secrets: tuple[str, ...], signers: list[str]) -> Iterator[Finding]:
    for number, secret in enumerate(secrets, 1):
        name = f"secret {number} of {len(secrets)}"
        fingerprint = f"fingerprint {secret_fingerprint(secret)}"
        if secret in signers:
            yield ok(name, f"signed this body ({fingerprint})")
        elif signers:
            yield ok(name, f"did not sign it, another one did ({fingerprint})")
        else:
            yield problem(name, f"did not sign these bytes ({fingerprint}): see below")


def _cause(delivery: SavedDelivery, header: SignatureHeader, secrets: tuple[str, ...]) -> str:
    """Return why no secret matches, as far as the usual mistakes explain it."""
    for number, secret in enumerate(secrets, 1):
        for form, says in _other_forms(secret):
            if _signed(delivery.body, form, header):
                return f"made with secret {number} {says}"
    for earlier in earlier_bodies(delivery.body):
        for number, secret in enumerate(secrets, 1):
            if _signed(earlier.body, secret, header):
                return (
                    f"made with secret {number}, but the body has changed since: {earlier.change}."
                    " Stripe signs the exact bytes: let no proxy or program before ingest parse or"
                    " convert them, and save them here as they came"
                )
    return (
        "made with none of the secrets, for this body: ingest answers 403. Take the secret from the"
        " page of the endpoint that sent it (each endpoint has its own, test and live mode differ,"
        " and `stripe listen` has another one), or save the exact bytes of the body"
    )


def _other_forms(secret: str) -> Iterator[tuple[str, str]]:
    if secret.startswith("whsec_"):
        says = "without its whsec_: not by Stripe, so correct the program that signs"
        yield secret.removeprefix("whsec_"), says
    else:
        yield f"whsec_{secret}", "with whsec_ before it: put whsec_ before it in your settings"


def _signed(body: bytes, secret: str, header: SignatureHeader) -> bool:
    made = sign(body, secret, header.timestamp).rpartition("v1=")[2]
    return made in header.signatures


def _age(header: SignatureHeader, tolerance_seconds: int, now: datetime) -> Finding:
    check = "timestamp"
    try:
        check_age(header, now=now, tolerance_seconds=tolerance_seconds)
    except TimestampStale:
        age = format_duration(now.timestamp() - header.timestamp)
        says = f"signed {age} ago{_at(header)}, and {tolerance_seconds} s are allowed"
        return warning(
            check,
            f"{says}: ingest answers 403 to it now. A saved delivery is always that old; if ingest"
            " refused it when it was new, a clock is wrong or a proxy holds requests back",
        )
    except TimestampFuture:
        says = f"signed {header.timestamp - now.timestamp():.0f} s in the future"
        return problem(check, f"{says}: this machine's clock is behind; run NTP")
    return ok(check, f"within {tolerance_seconds} s of this machine's clock")


def _at(header: SignatureHeader) -> str:
    try:
        return f" ({format_time(datetime.fromtimestamp(header.timestamp, UTC))})"
    except (ValueError, OverflowError, OSError):
        return ""


def _event(body: bytes) -> Finding:
    try:
        envelope = parse(body)
    except MalformedEvent as malformed:
        return problem(_BODY, f"{malformed}: ingest answers 400; send Stripe's own events alone")
    return ok(_BODY, f"is event {envelope.event_id}, {envelope.type}")
