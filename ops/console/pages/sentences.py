"""Print a sentence of the commands on a page: calls in backticks become code, ids become links."""

import re
from typing import Final

from markupsafe import Markup, escape

from ops.console.pages.links import href_of
from ops.terminal.command_name import with_command_name

_PART: Final = re.compile(
    r"`(?P<code>[^`\n]+)`|(?<![\w/.-])(?P<id>(?:cus|sub|pi|ch|py|in|cs|evt)_[A-Za-z0-9_]{1,255})"
)


def mark_sentence(says: str) -> Markup:
    """Return a sentence as HTML; everything in it is escaped."""
    marked, end, says = Markup(), 0, with_command_name(says)
    for part in _PART.finditer(says):
        marked += escape(says[end : part.start()]) + _mark(part)
        end = part.end()
    return marked + escape(says[end:])


def _mark(part: re.Match[str]) -> Markup:
    if code := part["code"]:
        return Markup("<code>{}</code>").format(code)
    return Markup('<a class="id" href="{}">{}</a>').format(href_of(part["id"]), part["id"])
