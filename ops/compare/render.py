"""Print a comparison, or turn it into JSON values."""

from collections import Counter
from collections.abc import Callable

from ops.compare.classify import AGREEING, AccessClass
from ops.compare.run import AccessComparison, AccessDifference
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_count, format_time
from ops.terminal.output import Columns, Json, print_rows, print_text, to_json

Counted = tuple[str, Counter[AccessClass]]


def comparison_document(comparison: AccessComparison) -> Json:
    """Return the comparison as JSON values: all classes, and the differences that are listed."""
    return {
        "as_of": to_json(comparison.as_of),
        "agrees": comparison.agrees,
        "users": comparison.users,
        "counts": _counted(comparison.counts),
        "features": {
            feature: _counted(counts) for feature, counts in sorted(comparison.by_feature.items())
        },
        "differences": [to_json(each) for each in comparison.differences],
    }


def print_comparison(comparison: AccessComparison) -> None:
    """Print the features by class, then the differences of each class, then the sum."""
    shown = [each for each in AccessClass if comparison.counts[each]]
    print_rows(
        {
            "feature": lambda row: row[0],
            **{str(each): _counter_of(each) for each in shown},
        },
        sorted(comparison.by_feature.items()),
    )
    for each in shown:
        listed = [one for one in comparison.differences if one.access_class is each]
        count = comparison.counts[each]
        more = f", the first {len(listed)} of them" if len(listed) < count else ""
        print_rows(_COLUMNS, listed, title=f"{each}: {count}{more}")
    print_text(f"\n{describe_sum(comparison)}", style="bold")


def describe_sum(comparison: AccessComparison) -> str:
    """Return the sentence that says whether both sides agree."""
    values = format_count(sum(comparison.counts.values()), "value")
    compared = f"{values} of {format_count(comparison.users, 'user')} compared"
    differ = sum(n for each, n in comparison.counts.items() if each not in AGREEING)
    recent = comparison.counts[AccessClass.RECENT]
    moving = f", {recent} changed within the hour" if recent else ""
    says = f"{differ} differ" if differ else "no difference"
    return f"{compared}, as of {format_time(comparison.as_of)}: {says}{moving}."


def _counter_of(access_class: AccessClass) -> Callable[[Counted], object]:
    return lambda row: row[1][access_class] or None


def _counted(counts: Counter[AccessClass]) -> Json:
    return {each: counts[each] for each in AccessClass}


def _why(difference: AccessDifference) -> str:
    return with_command_name(" ".join(difference.because))


_COLUMNS: Columns[AccessDifference] = {
    "user": lambda each: each.user_id,
    "feature": lambda each: each.feature,
    "ours": lambda each: each.ours,
    "theirs": lambda each: each.theirs,
    "because": _why,
}
