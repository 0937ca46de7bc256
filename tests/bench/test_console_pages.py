"""The figures of the console's pages: medians of rounds, and only of pages that were answered."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs

import pytest
from rich.console import Console

from bench import console_pages
from bench.console_pages import NotMeasured, PageFigures, log_in, measure, shown
from bench.load import LoadAnswers

COOKIE = "session=a-session"


class SmallConsole(BaseHTTPRequestHandler):
    """Lets in who has the token, and shows two pages to who has the cookie, login to others."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        known = {"/users/1", "/users/2"} if self.headers["Cookie"] == COOKIE else {"/login"}
        self.answer(200 if self.path in known else 404)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        own = self.headers["Origin"] == f"http://{self.headers['Host']}"
        if own and parse_qs(sent) == {"token": ["a token"]}:
            self.answer(303, ("Set-Cookie", f"{COOKIE}; HttpOnly; Path=/"))
        else:
            self.answer(403)

    def answer(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", "0"), *headers):
            self.send_header(name, value)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), SmallConsole) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def answers(usual: float, slow: float, slowest: float) -> LoadAnswers:
    """Return a hundred answers in milliseconds, six of them slower than usual."""
    latencies = [usual] * 94 + [slow] * 4 + [slowest] * 2
    return LoadAnswers(latencies=[milliseconds / 1000 for milliseconds in latencies])


def test_figures_are_medians_of_the_rounds() -> None:
    rounds = [answers(10, 60, 500), answers(20, 30, 40), answers(30, 50, 90)]

    assert PageFigures.of(rounds) == pytest.approx((20, 50, 90))


@pytest.mark.parametrize(
    ("figures", "is_good"),
    [
        (PageFigures(20.0, 99.9, 199.9), True),
        (PageFigures(20.0, 100.0, 150.0), False),
        (PageFigures(20.0, 50.0, 200.0), False),
    ],
)
def test_a_page_is_good_below_both_goals(figures: PageFigures, *, is_good: bool) -> None:
    assert figures.is_good is is_good


def test_the_table_has_the_slowest_page_first_and_the_floors_last() -> None:
    figures = {
        "/healthz": PageFigures(0.5, 0.6, 0.7),
        "/login": PageFigures(1.0, 1.5, 2.0),
        "/events": PageFigures(10.0, 20.0, 30.0),
        "/dead": PageFigures(50.0, 150.0, 180.0),
    }
    console = Console(width=100)
    with console.capture() as printed:
        console.print(shown(figures))

    lines = [line.split() for line in printed.get().splitlines() if "/" in line]
    assert [line[1] for line in lines] == ["/dead", "/events", "/healthz", "/login"]
    assert ("NO" in lines[0], "yes" in lines[1], "20.0" in lines[1]) == (True, True, True)


@pytest.mark.servers
def test_every_page_is_measured_beside_what_reads_no_data(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_pages, "FLOORS", ("/login",))

    found = measure(port, {"/users/<id>": ["/users/1", "/users/2"]}, COOKIE, rounds=2, requests=3)

    assert [*found] == ["/login", "/users/<id>"]
    assert all(0 < each.p50 <= each.p95 <= each.p99 for each in found.values())


@pytest.mark.servers
def test_a_page_that_is_not_answered_as_one_gives_no_figure(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_pages, "FLOORS", ())

    with pytest.raises(NotMeasured, match="/nowhere was answered 404"):
        measure(port, {"/nowhere": ["/nowhere"]}, COOKIE, rounds=1, requests=2)


@pytest.mark.servers
def test_a_login_gives_the_cookie_of_its_session(port: int) -> None:
    assert log_in(port, "a token") == COOKIE


@pytest.mark.servers
def test_a_refused_login_gives_no_figure(port: int) -> None:
    with pytest.raises(NotMeasured, match="it answered 403"):
        log_in(port, "another")
