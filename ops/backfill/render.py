"""Print the plan of a backfill before it begins, and its report once it has ended."""

from typing import Final

from billing.ids import Realm
from ops.backfill.plan import ListPlan
from ops.backfill.queries import CustomerWithoutUser, PriceInNoPlan
from ops.backfill.report import ENDED, BackfillReport, ListCount
from ops.backfill.sampling import SampledPlan
from ops.backfill.stored_report import OpenedRun
from ops.backfill.users_file import MappedUser
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_count, format_duration, format_rate, format_time
from ops.terminal.output import Columns, Json, print_rows, print_section, print_text, to_json

_SHOWN_LINES: Final = 20


def plan_document(realm: Realm, planned: SampledPlan | OpenedRun) -> dict[str, Json]:
    """Return the plan as JSON, or the run that goes on; ``exact`` is false for an estimate."""
    if isinstance(planned, OpenedRun):
        return {"realm": realm, "goes_on": to_json(planned)}
    plan = planned.plan
    return {
        "realm": realm,
        "lists": to_json(plan.lists),
        "objects": plan.objects,
        "requests": plan.requests,
        "rate": plan.rate,
        "seconds": round(plan.seconds, 1),
        "read_allocation_share": round(plan.share, 4),
        "unreadable": dict(planned.unreadable),
    }


def print_plan(realm: Realm, planned: SampledPlan | OpenedRun) -> None:
    """Print how much there is to read, how long it takes and what it costs."""
    if isinstance(planned, OpenedRun):
        print_text(
            f"{realm}: run {planned.run} of {format_time(planned.started_at)} goes on:"
            f" {planned.read} of about {planned.planned} objects are read"
        )
        return
    plan = planned.plan
    print_rows(_PLAN_COLUMNS, plan.lists, title=f"plan for {realm}")
    estimated = "" if all(each.exact for each in plan.lists) else "about "
    print_text(
        f"{estimated}{format_count(plan.objects, 'object')} in"
        f" {format_count(plan.requests, 'request')}: {format_duration(plan.seconds)} at"
        f" {format_rate(plan.rate)}, {plan.share:.0%} of the 10,000 reads that Stripe allows every"
        " account within 30 days",
        style="bold",
    )
    unreadable = (f"{name}: {why}" for name, why in planned.unreadable.items())
    print_section("what the key may not read", unreadable)


def report_document(report: BackfillReport) -> dict[str, Json]:
    """Return the report as JSON."""
    return {
        "realm": report.realm,
        "run": report.run,
        "state": report.state,
        "whole": report.whole,
        "stored": report.stored,
        "requests": report.requests,
        "seconds": round(report.seconds, 1),
        "lists": {name: count.document() for name, count in report.counts.items()},
        "unreadable": dict(report.unreadable),
        "links": {
            "made": report.links_made,
            "earlier": report.links_earlier,
            "unknown": to_json(report.unlinked),
        },
        "customers_without_user": {
            "count": report.without_user_total,
            "shown": to_json(report.without_user),
        },
        "prices_in_no_plan": to_json(report.prices_in_no_plan),
        "only_history_tells": list(report.history()),
    }


def print_report(report: BackfillReport) -> None:
    """Print what was read, and everything that a person has to decide."""
    print_rows(_COUNT_COLUMNS, report.counts.items(), title=f"read of {report.realm}")
    _print_customers(report)
    print_rows(_PRICE_COLUMNS, report.prices_in_no_plan, title="prices in no plan")
    if report.prices_in_no_plan:
        print_text(
            with_command_name(
                "add them to a plan, or to [catalogue] nothing: `paidup plans draft` shows their"
                " products, `paidup plans apply --reason WHY` makes the change"
            ),
            style="dim",
        )
    print_rows(
        _LINE_COLUMNS,
        report.unlinked[:_SHOWN_LINES],
        title=f"{format_count(len(report.unlinked), 'line')} of --users whose customer is unknown",
    )
    print_section("only history could tell", report.history())
    print_section("not read", (f"{name}: {why}" for name, why in report.unreadable.items()))
    print_text(f"\n{_summary(report)}", style="bold")


def _print_customers(report: BackfillReport) -> None:
    shown, total = report.without_user, report.without_user_total
    count = format_count(total, "customer")
    print_rows(_CUSTOMER_COLUMNS, shown, title=f"{count} without a user")
    if more := total - len(shown):
        print_text(f"{more} more: --limit shows them", style="dim")
    if shown:
        print_text(
            with_command_name(
                "an address is a hint and no proof: `paidup links add CUSTOMER USER --reason WHY`"
                " says whose one is, and --users takes many"
            ),
            style="dim",
        )


def _summary(report: BackfillReport) -> str:
    read = sum(_all_of(count) for count in report.counts.values())
    stored = f"{report.stored} stored" if report.stored else "nothing new"
    took = f"{format_count(report.requests, 'request')} in {format_duration(report.seconds)}"
    links = f"; {format_count(report.links_made, 'link')} made" if report.links_made else ""
    said = f"{report.realm}: {format_count(read, 'object')} read, {stored}{links}; {took}"
    if report.state not in ENDED:
        return f"{said}; {report.state}: the same command goes on"
    return said if report.whole else f"{said}; not whole, see above"


def _all_of(count: ListCount) -> int:
    return sum(count.document().values())


_PLAN_COLUMNS: Final[Columns[ListPlan]] = {
    "list": lambda each: each.name,
    "objects": lambda each: str(each.objects) if each.exact else f"about {each.objects}",
    "requests": lambda each: each.requests,
}
_COUNT_COLUMNS: Final[Columns[tuple[str, ListCount]]] = {
    "list": lambda row: row[0],
    "new": lambda row: row[1].new,
    "changed": lambda row: row[1].changed,
    "unchanged": lambda row: row[1].unchanged,
    "left out": lambda row: row[1].left_out,
    "gone": lambda row: row[1].gone,
}
_CUSTOMER_COLUMNS: Final[Columns[CustomerWithoutUser]] = {
    "customer": lambda each: each.customer,
    "subscriptions": lambda each: each.running,
    "purchases": lambda each: each.purchases,
    "e-mail (a hint)": lambda each: ", ".join(each.emails),
    "one user has the same": lambda each: each.same_email,
}
_PRICE_COLUMNS: Final[Columns[PriceInNoPlan]] = {
    "price": lambda each: each.price,
    "running subscriptions": lambda each: each.running,
    "ended subscriptions": lambda each: each.ended,
    "purchases": lambda each: each.purchases,
}
_LINE_COLUMNS: Final[Columns[MappedUser]] = {
    "line": lambda each: each.line,
    "customer": lambda each: each.customer,
    "user": lambda each: each.user_id,
}
