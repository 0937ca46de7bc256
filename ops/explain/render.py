"""An explanation in sentences, and as JSON values."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from billing.rows import PaymentRow
from ops.explain.reasons import Answer, Explanation, Giving, R, Reason
from ops.terminal.formats import money, stamp
from ops.terminal.output import Json, plain, say
from runtime.ledger.maintenance.reproject import CLOCK


def as_document(explanation: Explanation) -> Json:
    """Everything that is said, and the ids it rests on."""
    return {
        "user_id": explanation.user_id,
        "at": plain(explanation.at),
        "catalogue_version": explanation.catalogue_version,
        "features": [answer_document(answer, _reason_document) for answer in explanation.answers],
        "waiting": list(explanation.waiting),
        "failed": list(explanation.failed),
        "without_effect": list(explanation.unheeded),
    }


def answer_document(answer: Answer[R], of_reason: Callable[[R], Json]) -> Json:
    """The answer to one feature; ``of_reason`` gives the values of each of its reasons."""
    return {
        "feature": answer.feature,
        "allowed": answer.allowed,
        "value": plain(answer.value),
        "expires_at": plain(answer.expires_at),
        "reasons": [of_reason(reason) for reason in answer.reasons],
        "missing": answer.missing,
    }


def _reason_document(reason: Reason) -> Json:
    return plain(asdict(reason))


def print_explanation(explanation: Explanation) -> None:
    """Each feature with its reasons, then what waits, then what all of it rests on."""
    say(explanation.user_id, style="bold")
    if not explanation.answers:
        say("nothing gives this user a feature, and nothing ever did", indent=2)
    for answer in explanation.answers:
        print_answer(answer, _verdict(answer), partial(_lines, explanation))
    _print_list("waiting", explanation.waiting)
    _print_list("came to nothing", explanation.failed)
    _print_list("without effect", explanation.unheeded)
    version = f"plans of record: version {explanation.catalogue_version}"
    say(f"\nas of {stamp(explanation.at)}, {version}", style="dim")


def _print_list(title: str, sentences: Sequence[str]) -> None:
    if sentences:
        say(f"\n{title}", style="bold yellow")
    for sentence in sentences:
        say(sentence, indent=2)


def print_answer(answer: Answer[R], verdict: str, lines: Callable[[R], Iterable[str]]) -> None:
    """The answer to one feature, with these lines about each of its reasons."""
    say(f"\n{verdict}", style="bold green" if answer.allowed else "bold red")
    for reason in answer.reasons:
        say(f"{'+' if reason.in_force else '-'} {reason.because}", indent=2)
        for line in lines(reason):
            say(line, indent=4)
    if answer.missing:
        say(f"- {answer.missing}", indent=2)


def _verdict(answer: Answer[Reason]) -> str:
    if not answer.allowed:
        return f"{answer.feature}: not allowed"
    return f"{answer.feature}: allowed{how_much(answer)}, {until(answer.expires_at)}"


def how_much(answer: Answer[R]) -> str:
    """The value, where there is more to it than yes."""
    return "" if answer.value is True else f" {answer.value}"


def until(at: datetime | None) -> str:
    """How long something holds."""
    return f"until {stamp(at)}" if at else "with no end in sight"


def _lines(explanation: Explanation, reason: Reason) -> Iterator[str]:
    yield f"{of_source(reason)}, {gives(reason, over=reason.revoked is not None)}"
    yield _decision(reason)
    if reason.payment:
        yield _paid(reason.payment)
    elif reason.in_force and reason.kind != "customer":
        yield "no payment is known for it"
    if reason.revoked:
        actor = "time" if reason.revoked.actor == CLOCK else reason.revoked.actor
        by = reason.revoked.event_id or actor
        yield f"taken away at {stamp(reason.revoked.at)} by {by}"
    if reason.ends:
        yield f"would end by {'; '.join(reason.ends)}"
    if reason.catalogue_version != explanation.catalogue_version:
        yield f"worked out by version {reason.catalogue_version} of the plans"


def of_source(reason: Giving) -> str:
    """What gives it under which plan."""
    kind = "Stripe's own features of customer" if reason.kind == "customer" else reason.kind
    mode = "" if reason.realm == "live" else f" ({reason.realm})"
    return f"{kind} {reason.source}{mode}, plan {reason.plan_code}"


def gives(reason: Giving, *, over: bool) -> str:
    """How much from when until when; ``over`` says that it gave it once."""
    since, worth = f"from {stamp(reason.starts_at)}", _worth(reason.value)
    if reason.in_force:
        more = "" if reason.counts else "; another source gives more"
        return f"gives {worth} {since}, {until(reason.expires_at)}{more}"
    ended = f" {until(reason.expires_at)}" if reason.expires_at else ""
    return f"{'gave' if over else 'would give'} {worth} {since}{ended}"


def _worth(value: Any) -> str:
    return {True: "it", False: "a no"}[value] if isinstance(value, bool) else str(value)


def _decision(reason: Reason) -> str:
    what = f" ({reason.event_type})" if reason.event_type else ""
    guess = ", as a guess: Stripe left the order within that second open" if reason.guessed else ""
    return f"decided by {reason.event_id}{what} at {stamp(reason.decided_at)}{guess}"


def _paid(payment: PaymentRow) -> str:
    back = payment.amount_refunded_minor
    words = [f"paid by {payment.payment_ref}: {money(payment.amount_minor, payment.currency)}"]
    words[0] += f" at {stamp(payment.occurred_at)}"
    if back:
        words.append(f"{money(back, payment.currency)} of it went back")
    if payment.dispute_status:
        words.append(f"dispute {payment.dispute_status}")
    if payment.provisional:
        words.append("as the bill says, until the payment itself is known")
    return ", ".join(words)
