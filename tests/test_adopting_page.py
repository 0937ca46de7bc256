"""Follow docs/adopting.md from an empty database to the switch: its commands, in their order.

The company and its Stripe are the tests' own; the servers and processes are real. What a person
does in between (edit a file, copy a secret) is done here. Each line that the page shows has to be
printed, with other numbers and ids.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from ops.samples.worlds.records import Customer
from ops.send.delivery import DeliveryClient
from ops.send.endpoint import Endpoint
from ops.up.servers.ports import free_port
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from tests.stripe.company import Company, CompanyPlan, build_company, plans_text
from tests.stripe.server import KEY, serving
from tests.workers.waiting import until

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adopting.md").read_text()
COMPANY = CompanyPlan(subscribers=12, months=4, now=0, seed="8")
"""Two of its customers have no user, and one has a price in no plan."""

ACCEPTED = 202
HOUR = 3600

COMMAND = """#!{python}
import sys
sys.path.insert(0, {root!r})
from paidup.__main__ import main
if "reconcile" in sys.argv:
    from ops.reconcile import objects
    objects.SECOND_LOOK_SECONDS = 1
main()
"""
"""The command ``paidup``, to which the minute between two looks is a second."""


@dataclass(frozen=True)
class PageCommand:
    """A command of the page, and what the page shows of its output."""

    command: str
    shown: list[str]


def steps() -> Iterator[PageCommand]:
    """Yield the commands of the page in their order."""
    for block in re.findall(r"(?:^ {4}.*\n)+", PAGE, flags=re.MULTILINE):
        for part in re.split(r"^ {4}(?:\$ |(?=export ))", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield PageCommand(command, [line.strip() for line in shown])


def pattern_of(shown: str) -> re.Pattern[str]:
    """Return what a line of the page stands for: other numbers, ids and times, and other spaces."""
    parts = re.split(r"(\.\.\.|\b\w+_\w*\d\w*\b|\d[\d,.:-]*|\s+|\blive\b)", shown)
    return re.compile("".join(_pattern_of_part(part) for part in parts))


def _pattern_of_part(part: str) -> str:
    if part == "...":
        return ".*"
    if part == "live":
        return "(?:live|test)"
    if part.isspace():
        return r"\s+"
    if re.fullmatch(r"\w+_\w*\d\w*", part):
        return r"\w+"
    return r"\d[\d,.:-]*" if part[:1].isdigit() else re.escape(part)


def not_printed(shown: list[str], output: str) -> list[str]:
    """Return the lines of the page that the output does not have, in this order."""
    missing, at = [], 0
    for line in shown:
        found = pattern_of(line).search(output, at)
        if found is None:
            missing.append(line)
        else:
            at = found.end()
    return missing


@dataclass
class Adoption:
    """A person's shell: a folder, settings, and what runs in the background."""

    folder: Path
    environ: dict[str, str]
    settings: Mapping[str, str]
    """What the person writes for the dots in a line that exports a setting."""
    company: Company
    running: ExitStack
    wrong: list[str] = field(default_factory=list)

    def follow(self, step: PageCommand) -> None:
        """Do what the page asks for before a command, run it, and note what differs."""
        for begins, prepare in BEFORE.items():
            if step.command.startswith(begins):
                prepare(self)
        if step.command.startswith("export "):
            name, _ = step.command.removeprefix("export ").split("=", 1)
            self.environ[name] = self.settings[name]
            return
        if step.command.endswith(" &"):
            self.start(step.command.removesuffix(" &"))
            return
        done = self.run(step.command)
        output = done.stdout + done.stderr
        if done.returncode != EXITS.get(step.command, 0):
            self.wrong.append(f"$ {step.command}\nexited with {done.returncode}:\n{output}")
        if missing := not_printed(step.shown, output):
            self.wrong.append(f"$ {step.command}\ndid not print {missing}, but:\n{output}")

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "-c", command],
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, command: str) -> None:
        """Run a command in the background until the end of the page."""
        with (self.folder / f"{command.removeprefix('paidup ')}.log").open("w") as log:
            process = subprocess.Popen(
                command.split(), env=self.environ, cwd=self.folder, stdout=log, stderr=log
            )
        self.running.callback(_stop, process)

    def edit_plans(self) -> None:
        (self.folder / "plans.toml").write_text(plans_text(self.company.document))

    def let_customers_come(self) -> None:
        """Have Stripe deliver the events of one new customer; those of another were lost before."""
        endpoint = Endpoint.at(f"http://{self.environ['PAIDUP_INGEST_BIND']}/webhooks/stripe")
        until(lambda: _answers(endpoint.url), seconds=60, why="ingest is ready")
        secret = (self.folder / "webhook-secret").read_text().strip()
        with closing(DeliveryClient(endpoint, secret)) as client:
            for event in self.company.arrive(int(time.time())):
                assert client.deliver(event.delivery().body).status == ACCEPTED
        self.company.arrive(int(time.time()) - HOUR)

    def map_users(self) -> None:
        nameless = [each for each in self.company.subscribers if each.named == "nowhere"]
        lines = [
            f"{customer.id},{each.user}"
            for each in nameless
            for customer in each.account.of(Customer)
        ]
        (self.folder / "map.csv").write_text("\n".join(["customer,user", *lines, ""]))

    def grant_as_the_application_does(self) -> None:
        """Fill the application's table; it does not know whose the nameless customers are."""
        with psycopg.connect(self.environ["PAIDUP_APPLICATION_DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE access (user_id text, feature text, value text)")
            for user, features in self.company.truth.features.items():
                for feature, value in features.items():
                    row = (user, feature, str(value).lower())
                    connection.execute("INSERT INTO access VALUES (%s, %s, %s)", row)

    def granted(self, user: str) -> dict[str, object]:
        """Return what Paidup grants a user."""
        query = "SELECT feature, value FROM effective_entitlements WHERE user_id = %s"
        with psycopg.connect(self.settings["DATABASE_URL"]) as connection:
            return dict(connection.execute(query, (user,)).fetchall())


BEFORE: Mapping[str, Callable[[Adoption], None]] = {
    "paidup plans check": Adoption.edit_plans,
    "paidup backfill --dry-run": Adoption.let_customers_come,
    "paidup backfill --users": Adoption.map_users,
    "paidup compare": Adoption.grant_as_the_application_does,
}
"""What a person, the application or Stripe does before a command, by its beginning."""

EXITS: Mapping[str, int] = {
    "paidup reconcile --limit 3": 1,
    'paidup compare --sql "select user_id, feature, value from access"': 1,
}
"""The exit codes of commands that find something."""


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(100)


def _install_command(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(COMMAND.format(python=sys.executable, root=str(ROOT)))
    path.chmod(0o700)


def _answers(url: str) -> bool:
    try:
        with urlopen(url.replace("webhooks/stripe", "readyz"), timeout=2) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def adoption(own_redis: Redis, postgres_server: Postgres, tmp_path: Path) -> Iterator[Adoption]:
    names = ("adopting", "application")
    ours, application = (postgres_server.create_database(name) for name in names)
    company = build_company(replace(COMPANY, now=int(time.time())))
    _install_command(tmp_path / "bin" / "paidup")
    with serving(account=company.stripe) as api, ExitStack() as running:
        environ = {
            "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "STRIPE_API_BASE": api.url,
            "PAIDUP_DATA_DIR": str(tmp_path / "data"),
            "PAIDUP_INGEST_BIND": f"127.0.0.1:{free_port()}",
            "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:0",
            "PAIDUP_STRIPE_REQUESTS_PER_SECOND": "100",
            "PAIDUP_RECONCILE": "0",  # the schedule's run could hold the lease of the page's
        }
        settings = {
            "STRIPE_API_KEY": KEY,
            "PAIDUP_LIVEMODE": "test",
            "DATABASE_URL": ours,
            "REDIS_URL": own_redis.url,
            "STRIPE_WEBHOOK_SECRET_FILE": str(tmp_path / "webhook-secret"),
            "PAIDUP_APPLICATION_DATABASE_URL": application,
        }
        yield Adoption(tmp_path, environ, settings, company, running)
    for name in names:
        postgres_server.drop_database(name)


@pytest.mark.servers
def test_the_page_leads_to_an_application_and_a_paidup_that_agree(adoption: Adoption) -> None:
    for step in steps():
        adoption.follow(step)

    assert not adoption.wrong, "\n".join(adoption.wrong)
    assert adoption.settings.items() <= adoption.environ.items()
    truth = adoption.company.truth.features
    assert truth == {user: adoption.granted(user) for user in truth}
