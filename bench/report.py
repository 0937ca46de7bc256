"""The table and the picture of a run."""

from collections.abc import Mapping, Sequence
from statistics import median

from rich.table import Table

RATIOS = (
    (
        "end to end: Paidup over the usual handler",
        "end to end, Paidup",
        "end to end, the usual handler",
    ),
    ("drain: two processes over one", "drain, 2 processes", "drain, 1 process"),
    ("ingest: Paidup over one Redis write", "answers/s, Paidup", "answers/s, one Redis write"),
)
_BARS = (
    ("Paidup, end to end", "end to end, Paidup", "#2563eb"),
    ("the usual handler, end to end", "end to end, the usual handler", "#9ca3af"),
    ("Paidup, drain of a backlog", "drain, 2 processes", "#2563eb"),
    ("Paidup, acknowledged", "answers/s, Paidup", "#2563eb"),
    ("one Redis write, acknowledged", "answers/s, one Redis write", "#9ca3af"),
)


def table(figures: Mapping[str, Sequence[float]]) -> Table:
    """Medians with the least and the most, then the ratios of medians of one run."""
    shown = Table("figure", "median", "least", "most")
    for name, values in figures.items():
        cells = (median(values), min(values), max(values))
        shown.add_row(name, *(f"{value:,.1f}" for value in cells))
    shown.add_section()
    for name, ours, theirs in RATIOS:
        shown.add_row(name, f"{median(figures[ours]) / median(figures[theirs]):.2f}", "", "")
    return shown


def picture(medians: Mapping[str, float]) -> str:
    """Bars of events a second, drawn without a library so that the picture is a small text."""
    most = max(medians[name] for _, name, _ in _BARS)
    height = 34 * len(_BARS) + 40
    bars = "".join(
        _bar(i, label, medians[name], most, c) for i, (label, name, c) in enumerate(_BARS)
    )
    title = "Events a second, appendfsync always, two cores shared with the load generator"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="720" height="{height}" fill="#ffffff"/>'
        f'<text x="12" y="22" font-weight="bold">{title}</text>{bars}</svg>\n'
    )


def _bar(index: int, label: str, value: float, most: float, colour: str) -> str:
    top, width = 36 + 34 * index, 380 * value / most
    return (
        f'<text x="232" y="{top + 17}" text-anchor="end">{label}</text>'
        f'<rect x="240" y="{top}" width="{width:.0f}" height="24" fill="{colour}"/>'
        f'<text x="{248 + width:.0f}" y="{top + 17}">{value:,.0f}</text>'
    )
