"""Use a page by keyboard alone, and hold each step to what a person must see.

The part that has the focus must have an outline, reach into the window, and lie under nothing.
"""

from typing import Final

from playwright.sync_api import Locator, Page

MOST_STEPS: Final = 200
_IS_FOCUSED: Final = "element => element === document.activeElement"
_FOCUSED: Final = """
    () => {
        const element = document.activeElement;
        if (!element || element === document.body) {
            return ["nothing", []];
        }
        const name = element.tagName.toLowerCase() + (element.id && "#" + element.id);
        const label = (element.innerText || element.getAttribute("aria-label") || "").trim();
        const style = getComputedStyle(element);
        // A browser's own ring is `auto`, whatever its width. Colours of a shadow or of the
        // background are gone where a person chose their own.
        const visible = style.outlineStyle === "auto"
            || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2);
        // What of it is within the window: a long table may reach beyond.
        const box = element.getClientRects()[0] ?? new DOMRect();
        const left = Math.max(box.left, 0), right = Math.min(box.right, innerWidth);
        const upper = Math.max(box.top, 0), lower = Math.min(box.bottom, innerHeight);
        const inside = right > left && lower > upper;
        const x = (left + right) / 2, y = (upper + lower) / 2;
        const top = document.elementFromPoint(x, y);
        const faults = [];
        if (!visible) faults.push("has no outline");
        if (!inside) faults.push("is outside the window");
        if (inside && top && !element.contains(top) && !top.contains(element)) {
            faults.push("lies under " + top.tagName.toLowerCase());
        }
        return [`${name} ${label.slice(0, 40)}`, faults];
    }
"""


def walk_to(page: Page, goal: Locator) -> list[str]:
    """Press Tab until the goal has the focus, and return the names of the parts on the way.

    Raises:
        AssertionError: the focus was not to be seen on the way, or the goal was not reached.
    """
    passed: list[str] = []
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        passed.append(seen_focus(page))
        if goal.evaluate(_IS_FOCUSED):
            return passed
    raise AssertionError(f"{goal} was not reached by Tab; passed: {', '.join(passed)}")


def walk_through(page: Page) -> list[str]:
    """Press Tab until the focus has left the page, and return the names of its parts.

    Raises:
        AssertionError: the focus was not to be seen, or never leaves.
    """
    passed: list[str] = []
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            return passed
        passed.append(seen_focus(page))
    raise AssertionError(f"the focus never left the page; passed: {', '.join(passed)}")


def seen_focus(page: Page) -> str:
    """Return the name of the part that has the focus.

    Raises:
        AssertionError: a person could not see which it is.
    """
    name, faults = page.evaluate(_FOCUSED)
    assert not faults, f"{name} has the focus and {', '.join(faults)}"
    return str(name)
