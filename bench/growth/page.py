"""The part of ``docs/performance.md`` that shows growth, and its picture."""

from pathlib import Path
from typing import Final

from bench.growth.report import Results, markdown, moves_markdown, picture
from ops.generated_docs import renewed

_DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = _DOCS / "performance.md"
PICTURE: Final = _DOCS / "growth.svg"


def renewed_page(text: str, results: Results) -> str:
    """Return the text of the page with the tables of these results."""
    parts = {"growth": lambda: markdown(results), "moves": lambda: moves_markdown(results)}
    return renewed(text, parts)


def write(results: Results) -> None:
    """Write the tables and the picture."""
    PAGE.write_text(renewed_page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    PICTURE.write_text(picture(results), encoding="utf-8")
