"""Refuse requests that another site makes a browser send (cross-site request forgery).

Browsers say by themselves where a request comes from: in ``Sec-Fetch-Site`` to https and to this
machine, in ``Origin`` with every form. So forms need no token of their own. A request that changes
something must come from a page of ours; one that says nothing comes from no browser and is refused.
``Sec-Fetch-Site: none`` is a request that the person began, such as a form that is sent again.
"""

from typing import Final

from werkzeug.wrappers import Request

from ops.console.access.people import PageRefused

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS: Final = frozenset({"same-origin", "none"})


def check_same_origin(request: Request, origin: str) -> None:
    """Refuse a request that may change something unless it comes from a page of ``origin``.

    Raises:
        PageRefused: with the status 403.
    """
    if request.method in SAFE_METHODS:
        return
    named, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    is_ours = named == origin if named is not None else site is not None
    if not is_ours or (site is not None and site not in _OURS):
        raise PageRefused(
            403,
            "Not from this console",
            "The request did not come from a page of this console, so nothing was changed. Go to"
            " the page and try it there.",
        )
