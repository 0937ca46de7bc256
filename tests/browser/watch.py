"""Watch a session of a browser for what no page of the console may do.

That is a request to another host, a violation of the page's security policy, an error on the
browser's console, and an exception in a script.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, WebError


class Watch:
    """Complaints about one session. The browser reports a violated policy on its console."""

    def __init__(self, context: BrowserContext, base_url: str) -> None:
        self._context = context
        self._host = urlsplit(base_url).netloc
        self._complaints: list[str] = []
        self._expected: list[str] = []
        context.on("request", self._requested)
        context.on("console", self._said)
        context.on("weberror", self._raised)

    def expect(self, text: str) -> None:
        """Expect one or more complaints with this text, such as a status of 403."""
        self._expected.append(text)

    def check(self) -> None:
        """Check that nothing but the expected was seen, and all of that.

        Raises:
            AssertionError: naming the rest.
        """
        self._catch_up()
        left = [each for each in self._complaints if not self._is_expected(each)]
        assert not left, "\n".join(left)
        unseen = [text for text in self._expected if not any(text in c for c in self._complaints)]
        assert not unseen, f"expected, but not seen: {unseen}"

    def _catch_up(self) -> None:
        """Let the browser report what it already saw: its reports come in order."""
        for page in self._context.pages:
            page.evaluate("1")

    def _is_expected(self, complaint: str) -> bool:
        return any(text in complaint for text in self._expected)

    def _requested(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in {"about", "blob", "data"} and url.netloc != self._host:
            self._complaints.append(f"a request to another host: {request.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location["url"]
            self._complaints.append(f"an error on the console: {message.text} ({where})")

    def _raised(self, error: WebError) -> None:
        self._complaints.append(f"an exception in a script: {error.error}")


@contextmanager
def watching(context: BrowserContext, base_url: str) -> Iterator[Watch]:
    """Watch a session, and check it in the end unless the test failed before."""
    watch = Watch(context, base_url)
    yield watch
    watch.check()
