"""The part of ``docs/performance.md`` that shows growth, and its picture."""

from pathlib import Path
from typing import Final

from bench.growth.report import Results, markdown, picture
from ops.generated_docs import renewed

_DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = _DOCS / "performance.md"
PICTURE: Final = _DOCS / "growth.svg"


def renewed_page(text: str, results: Results) -> str:
    """Return the text of the page with the table of these results."""
    return renewed(text, {"growth": lambda: markdown(results)})


def write(results: Results) -> None:
    """Write the table and the picture."""
    PAGE.write_text(renewed_page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    PICTURE.write_text(picture(results), encoding="utf-8")
