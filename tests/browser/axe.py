"""Ask axe-core what of a page people cannot use with a keyboard, a screen reader or weak eyes.

Its script is evaluated, not added as an element, which the security policy of a page refuses.
"""

from functools import cache
from importlib.resources import files
from typing import Any, Final

from playwright.sync_api import Page

_RUN: Final = """
    async () => (await axe.run(document, {
        resultTypes: ["violations"],
        // Of WCAG 2.2, and off by default: a finger must hit what it aims at.
        rules: {"target-size": {enabled: true}},
    })).violations
"""


def violations(page: Page) -> list[str]:
    """Return a line for each part of the page that violates a rule of axe.

    All rules of WCAG 2.0 to 2.2, levels A and AA, and axe's best practices are tried.
    """
    page.evaluate(_script())
    found: list[dict[str, Any]] = page.evaluate(_RUN)
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {' '.join(map(str, node['target']))}"
        for rule in found
        for node in rule["nodes"]
    ]


@cache
def _script() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
