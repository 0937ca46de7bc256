"""Print an explanation of now or of a past moment, or turn it into JSON values."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from billing.ids import EVERY_REALM
from billing.readers.search_terms import is_stripe_id
from billing.rows import PaymentRow
from billing.statements import STATEMENT_PREFIX
from ops.explain.as_of import AsOfReason
from ops.explain.reasons import Explanation, FeatureAnswer, R, Reason, SourceReason
from ops.queries.audit_history import AccessHistory
from ops.queries.links import ListedLink
from ops.queries.lookups import describe_candidates, linking_call
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_count, format_time
from ops.terminal.money import format_money
from ops.terminal.output import Json, print_section, print_text, printable, to_json
from runtime.ledger.maintenance.archive_updates import UpdateProgress
from runtime.ledger.maintenance.reproject import CLOCK


def as_of_document(history: AccessHistory, answers: Sequence[FeatureAnswer[AsOfReason]]) -> Json:
    """Return the explanation as JSON values, with the ids of the audit entries behind it."""
    return {
        "user_id": history.user_id,
        "at": to_json(history.at),
        "catalogue_version": history.version,
        "features": to_json(answers),
        "rests_on": history.entries[-1].entry.id,
    }


def print_explanation(explanation: Explanation) -> None:
    """Print each feature with its reasons, then what is incomplete, then the catalogue version."""
    print_text(explanation.user_id, style="bold")
    for sentence in describe_found(explanation):
        print_text(with_command_name(sentence), indent=2)
    for update in explanation.pending_updates:
        print_text(describe_pending(update), style="bold", indent=2)
    for answer in explanation.features:
        _print_answer(answer, _verdict(answer), partial(_lines, explanation))
    print_section("said by people", map(_linked, explanation.links))
    print_section("waiting", explanation.waiting)
    print_section("failed", explanation.failed)
    print_section("gives nothing on purpose", explanation.on_purpose)
    print_section("without effect", explanation.without_effect)
    print_section("in the inbox", explanation.in_inbox)
    if explanation.inbox_error:
        says = f"\nThe inbox was not searched: {explanation.inbox_error}"
        print_text(with_command_name(says), style="dim")
    version = f"catalogue version {explanation.catalogue_version}"
    print_text(f"\nas of {format_time(explanation.at)}, {version}", style="dim")


def describe_found(explanation: Explanation) -> Iterator[str]:
    """Yield sentences about how what was asked for is known, if that is not plain."""
    if explanation.asked_for != explanation.user_id:
        yield f"This is the user of {explanation.asked_for}."
    if not explanation.known:
        yield (
            "No settled event names it, except perhaps an abandoned checkout: nothing is granted."
        )
        if candidates := explanation.candidates:
            bear = describe_candidates(candidates, more=explanation.more_candidates)
            yield f"But {bear}."
        elif not explanation.named_elsewhere:
            yield _NO_EVENT_WITH_ID if is_stripe_id(explanation.asked_for) else _NO_EVENT_OF_USER
    elif not explanation.has_user:
        yield (
            "No event names a user of it yet, so nothing is granted: set metadata.user_id on the"
            f" customer in Stripe, or say whose it is: {linking_call(explanation.asked_for)}."
        )
    elif not explanation.features:
        yield "This user has no feature and never had one."


_NO_EVENT_WITH_ID = (
    "No event with this id arrived: compare it with Stripe's dashboard (live or test?)."
)
_NO_EVENT_OF_USER = (
    "No event names this user: `paidup events list` shows what arrived; Paidup learns ids from"
    " `client_reference_id` or `metadata.user_id`."
)


def describe_pending(update: UpdateProgress) -> str:
    """Return the sentence about a change that has not reached all old payments."""
    by = f"{_cause(update.event_id, update.actor)} at {format_time(update.began_at)}"
    left = format_count(update.archives_left, "archive is", "archives are")
    return (
        f"A change by {by} has not reached all old payments of {update.party} yet, which count as"
        f" before it until then: {left} left."
    )


def print_as_of(history: AccessHistory, answers: Sequence[FeatureAnswer[AsOfReason]]) -> None:
    """Print each feature with its reasons and entries, then what the explanation is based on."""
    print_text(history.user_id, style="bold")
    for answer in answers:
        _print_answer(answer, _verdict(answer, past=True), _lines_as_of)
    plans = f"version {history.version}" if history.version else "none yet"
    newest = history.entries[-1].entry
    entries = f"{len(history.entries)} audit entries, the newest entry {newest.id}"
    print_text(
        f"\nas of {format_time(history.at)}, based on {entries} of {format_time(newest.at)};"
        f" catalogue then: {plans}",
        style="dim",
    )


def _print_answer(
    answer: FeatureAnswer[R], verdict: str, lines: Callable[[R], Iterable[str]]
) -> None:
    print_text(f"\n{verdict}", style="bold green" if answer.allowed else "bold red")
    for reason in answer.reasons:
        print_text(f"{'+' if reason.in_force else '-'} {printable(reason.because)}", indent=2)
        for line in lines(reason):
            print_text(printable(line), indent=4)
    if answer.missing:
        print_text(f"- {answer.missing}", indent=2)


def _verdict(answer: FeatureAnswer[R], *, past: bool = False) -> str:
    was, known = ("was ", " by what was known then") if past else ("", "")
    if not answer.allowed:
        return f"{answer.feature}: {was}not allowed"
    how_much = "" if answer.value is True else f" {answer.value}"
    return f"{answer.feature}: {was}allowed{how_much}, {_until(answer.expires_at)}{known}"


def _until(at: datetime | None) -> str:
    return f"until {format_time(at)}" if at else "with no end in sight"


def _lines(explanation: Explanation, reason: Reason) -> Iterator[str]:
    yield f"{_of_source(reason)}, {_gives(reason, over=reason.revoked is not None)}"
    event = f" ({reason.event_type})" if reason.event_type else ""
    if reason.asked_for:
        event = f" (shown by Stripe's API, asked for {reason.asked_for})"
    elif reason.asked_by:
        event = f" (shown by Stripe's API, asked by {reason.asked_by})"
    guess = " (a guess: Stripe does not order events within a second)" if reason.guessed else ""
    yield f"decided by {reason.event_id}{event} at {format_time(reason.decided_at)}{guess}"
    if reason.payment:
        yield _paid(reason.payment)
    elif reason.in_force and reason.kind not in {"customer", "grant"}:
        yield "no payment on record"
    if reason.revoked:
        by = _cause(reason.revoked.event_id, reason.revoked.actor)
        yield f"revoked at {format_time(reason.revoked.at)} by {by}"
    if reason.ends:
        yield with_command_name(f"would end with {'; '.join(reason.ends)}")
    if reason.catalogue_version != explanation.catalogue_version:
        yield f"computed with catalogue version {reason.catalogue_version}"


def _linked(link: ListedLink) -> str:
    says = f"{link.target} is of {printable(link.user_id)}: {link.actor} says so since"
    why = f"{format_time(link.made_at)} ({printable(link.reason)})"
    return f"{says} {why}; `paidup links end {link.link} --reason WHY` takes it back"


def _lines_as_of(reason: AsOfReason) -> Iterator[str]:
    yield f"{_of_source(reason)}, {_gives(reason, over=not reason.in_force)}"
    guess = " (a guess)" if reason.guessed else ""
    yield f"decided by {reason.event_id}{guess}"
    entry = reason.entry
    what = entry.action.removeprefix("entitlement.")
    by_person = entry.event_id is None or entry.event_id.startswith(STATEMENT_PREFIX)
    asked = f" ({entry.reason})" if entry.reason and by_person else ""
    version = entry.catalogue_version
    plans = f", by version {version} of the plans" if version else ""
    by = f"{_cause(entry.event_id, entry.actor)}{asked}{plans}"
    yield f"{what} at {format_time(entry.at)} by {by}: audit entry {entry.id}"


def _cause(event_id: str | None, actor: str) -> str:
    if event_id and event_id.startswith(STATEMENT_PREFIX):
        return f"{actor} ({event_id})"
    return event_id or ("time" if actor == CLOCK else actor)


def _of_source(reason: SourceReason) -> str:
    kind = "features that Stripe lists for customer" if reason.kind == "customer" else reason.kind
    mode = "" if reason.realm in {"live", EVERY_REALM} else f" ({reason.realm})"
    return f"{kind} {reason.source}{mode}, plan {reason.plan_code}"


def _gives(reason: SourceReason, *, over: bool) -> str:
    """Say how much the source gives, from when until when; ``over`` means that it gave it once."""
    since, value = f"from {format_time(reason.starts_at)}", _value_words(reason.value)
    if reason.in_force:
        more = "" if reason.counts else "; another source gives more"
        return f"gives {value} {since}, {_until(reason.expires_at)}{more}"
    ended = f" {_until(reason.expires_at)}" if reason.expires_at else ""
    return f"{'gave' if over else 'would give'} {value} {since}{ended}"


def _value_words(value: Any) -> str:
    return {True: "it", False: "a no"}[value] if isinstance(value, bool) else str(value)


def _paid(payment: PaymentRow) -> str:
    paid = format_money(payment.amount_minor, payment.currency)
    words = [f"paid by {payment.payment_ref}: {paid} at {format_time(payment.occurred_at)}"]
    if payment.amount_refunded_minor:
        back = format_money(payment.amount_refunded_minor, payment.currency)
        words.append(f"{back} refunded")
    if payment.dispute_status:
        words.append(f"dispute {payment.dispute_status}")
    if payment.provisional:
        words.append("as stated by the invoice; the payment itself is not known yet")
    return ", ".join(words)
