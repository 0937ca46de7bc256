"""Print an explanation, or turn it into JSON values."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from billing.rows import PaymentRow
from ops.explain.reasons import Explanation, FeatureAnswer, R, Reason, SourceReason
from ops.terminal.formats import format_money, format_time
from ops.terminal.output import Json, print_text, to_json
from runtime.ledger.maintenance.reproject import CLOCK


def as_document(explanation: Explanation) -> Json:
    """Return the explanation as JSON values, with the ids it is based on."""
    return {
        "user_id": explanation.user_id,
        "at": to_json(explanation.at),
        "catalogue_version": explanation.catalogue_version,
        "features": [answer_document(answer, _reason_document) for answer in explanation.answers],
        "waiting": list(explanation.waiting),
        "failed": list(explanation.failed),
        "without_effect": list(explanation.without_effect),
    }


def answer_document(answer: FeatureAnswer[R], of_reason: Callable[[R], Json]) -> Json:
    """Return the answer for one feature; ``of_reason`` turns each reason into JSON values."""
    return {
        "feature": answer.feature,
        "allowed": answer.allowed,
        "value": to_json(answer.value),
        "expires_at": to_json(answer.expires_at),
        "reasons": [of_reason(reason) for reason in answer.reasons],
        "missing": answer.missing,
    }


def _reason_document(reason: Reason) -> Json:
    return to_json(asdict(reason))


def print_explanation(explanation: Explanation) -> None:
    """Print each feature with its reasons, then what is incomplete, then the catalogue version."""
    print_text(explanation.user_id, style="bold")
    if not explanation.answers:
        print_text("This user has no feature and never had one.", indent=2)
    for answer in explanation.answers:
        print_answer(answer, _verdict(answer), partial(_lines, explanation))
    _print_list("waiting", explanation.waiting)
    _print_list("failed", explanation.failed)
    _print_list("without effect", explanation.without_effect)
    version = f"catalogue version {explanation.catalogue_version}"
    print_text(f"\nas of {format_time(explanation.at)}, {version}", style="dim")


def _print_list(title: str, sentences: Sequence[str]) -> None:
    if sentences:
        print_text(f"\n{title}", style="bold yellow")
    for sentence in sentences:
        print_text(sentence, indent=2)


def print_answer(
    answer: FeatureAnswer[R], verdict: str, lines: Callable[[R], Iterable[str]]
) -> None:
    """Print the answer for one feature, with these lines about each of its reasons."""
    print_text(f"\n{verdict}", style="bold green" if answer.allowed else "bold red")
    for reason in answer.reasons:
        print_text(f"{'+' if reason.in_force else '-'} {reason.because}", indent=2)
        for line in lines(reason):
            print_text(line, indent=4)
    if answer.missing:
        print_text(f"- {answer.missing}", indent=2)


def _verdict(answer: FeatureAnswer[Reason]) -> str:
    if not answer.allowed:
        return f"{answer.feature}: not allowed"
    return f"{answer.feature}: allowed{how_much(answer)}, {until(answer.expires_at)}"


def how_much(answer: FeatureAnswer[R]) -> str:
    """Return the value as words, empty where it is a plain yes."""
    return "" if answer.value is True else f" {answer.value}"


def until(at: datetime | None) -> str:
    """Return the end as words."""
    return f"until {format_time(at)}" if at else "with no end in sight"


def _lines(explanation: Explanation, reason: Reason) -> Iterator[str]:
    yield f"{of_source(reason)}, {gives(reason, over=reason.revoked is not None)}"
    yield _decision(reason)
    if reason.payment:
        yield _paid(reason.payment)
    elif reason.in_force and reason.kind != "customer":
        yield "no payment on record"
    if reason.revoked:
        actor = "time" if reason.revoked.actor == CLOCK else reason.revoked.actor
        by = reason.revoked.event_id or actor
        yield f"revoked at {format_time(reason.revoked.at)} by {by}"
    if reason.ends:
        yield f"would end with {'; '.join(reason.ends)}"
    if reason.catalogue_version != explanation.catalogue_version:
        yield f"computed with catalogue version {reason.catalogue_version}"


def of_source(reason: SourceReason) -> str:
    """Name the source and its plan."""
    kind = "features that Stripe lists for customer" if reason.kind == "customer" else reason.kind
    mode = "" if reason.realm == "live" else f" ({reason.realm})"
    return f"{kind} {reason.source}{mode}, plan {reason.plan_code}"


def gives(reason: SourceReason, *, over: bool) -> str:
    """Say how much the source gives, from when until when; ``over`` means that it gave it once."""
    since, worth = f"from {format_time(reason.starts_at)}", _worth(reason.value)
    if reason.in_force:
        more = "" if reason.counts else "; another source gives more"
        return f"gives {worth} {since}, {until(reason.expires_at)}{more}"
    ended = f" {until(reason.expires_at)}" if reason.expires_at else ""
    return f"{'gave' if over else 'would give'} {worth} {since}{ended}"


def _worth(value: Any) -> str:
    return {True: "it", False: "a no"}[value] if isinstance(value, bool) else str(value)


def _decision(reason: Reason) -> str:
    what = f" ({reason.event_type})" if reason.event_type else ""
    guess = " (a guess: Stripe does not order events within a second)" if reason.guessed else ""
    return f"decided by {reason.event_id}{what} at {format_time(reason.decided_at)}{guess}"


def _paid(payment: PaymentRow) -> str:
    back = payment.amount_refunded_minor
    words = [
        f"paid by {payment.payment_ref}: {format_money(payment.amount_minor, payment.currency)}"
    ]
    words[0] += f" at {format_time(payment.occurred_at)}"
    if back:
        words.append(f"{format_money(back, payment.currency)} refunded")
    if payment.dispute_status:
        words.append(f"dispute {payment.dispute_status}")
    if payment.provisional:
        words.append("as stated by the invoice; the payment itself is not known yet")
    return ", ".join(words)
