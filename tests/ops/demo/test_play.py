"""``paidup demo``: the problems it finds, its JSON document, and whole runs of the command."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.commands import demo as command
from ops.demo.result import Delivered, DemoResult, RejectionCheck, as_document, problems
from ops.demo.stopwatch import Stopwatch
from ops.up.servers.process_table import children_of, command_of
from tests.ops.demo.demo_process import CHECKOUT, NOTHING, answer, as_it_must_be

ROOT = Path(__file__).parents[3]
PAIDUP = (sys.executable, "-m", "ops.cli")


def took(**parts: float) -> Stopwatch:
    """Return a stopwatch that has measured these parts."""
    now = [0.0]
    stopwatch = Stopwatch(lambda: now[0])
    for part, seconds in parts.items():
        now[0] += seconds
        stopwatch.end(part)
    return stopwatch


def test_an_account_of_what_must_be_has_no_problems() -> None:
    assert list(problems(as_it_must_be())) == []


def test_every_problem_is_named() -> None:
    result = as_it_must_be()
    result.steps[0].deliveries = [Delivered(event=CHECKOUT.events[0], answer=answer(503))]
    result.steps[0].observed = NOTHING
    result.steps[0].read_response = answer(404, {"detail": "never heard of"})
    result.rejections = [RejectionCheck(title="forged", must=403, answer=answer(202))]
    result.metrics = {}

    said = "\n".join(problems(result))

    assert "checkout.session.completed was answered 503, not 202" in said
    assert "A step: no entitlement row" in said
    assert "the audit trail is empty" in said
    assert "A step: the read API says never heard of" in said
    assert "forged: answered 202, not 403" in said
    assert "the response to the repeated event has no cached result" in said
    assert 'idempotent_hits_total{operation="ingest"} did not move' in said
    assert "billing_events_settled_total changed by 0, but 1 events were sent" in said


def test_the_document_is_json_for_programs() -> None:
    stopwatch = took(starting=3.52, events=3.1, stopping=1.9)

    document = json.loads(json.dumps(as_document(as_it_must_be(), stopwatch)))

    assert document["ok"] is True
    assert document["seconds"] == 8.5
    assert document["parts"] == {"starting": 3.5, "events": 3.1, "stopping": 1.9}
    assert document["first_paid_user_after"] == 4.5
    (step,) = document["steps"]
    assert step["user_id"] == "usr_123"
    assert step["sent"][0]["body"] == {"status": "accepted"}
    assert step["sent"][0]["outcome"] == "applied"
    assert step["user_entitlements"][0]["entitlements"]["max_devices"] == 5
    assert step["read_api"]["features"]["max_devices"] == 5
    assert document["rejections"][0]["status"] == 200


def test_the_last_line_says_how_it_went_and_how_long_each_part_took() -> None:
    stopwatch = took(starting=3.5, events=3.14, stopping=1.9)
    failed = DemoResult(problems=["one", "another"])

    assert command.last_line(as_it_must_be(), stopwatch) == (
        "All checks passed. 8.5 s in total:"
        " 3.5 s starting servers, 3.1 s for the events, 1.9 s stopping."
    )
    assert command.last_line(failed, stopwatch).startswith("2 checks failed. 8.5 s in total:")
    assert command.last_line(None, took(starting=1.0, stopping=0.2)) == (
        "The demo failed. 1.2 s in total: 1.0 s starting servers, 0.2 s stopping."
    )


def test_the_demo_never_sees_a_deployments_environment() -> None:
    environ = {
        "PATH": "/bin",
        "DATABASE_URL": "postgresql://production",
        "REDIS_URL_FILE": "/run/secrets/redis",
        "CELERY_BROKER_URL": "redis://production",
        "STRIPE_WEBHOOK_SECRET": "whsec_production",
        "PAIDUP_PLANS": "elsewhere.toml",
        "PAIDUP_REDIS_SERVER": "/usr/bin/redis-server",
    }

    seen = command._environ(environ)

    assert seen.keys() == {"PATH", "PAIDUP_PLANS", "PAIDUP_REDIS_SERVER"}
    assert seen["PAIDUP_PLANS"].endswith("demo.toml")


class Demo:
    """One ``paidup demo`` without a terminal, with all its output in one stream."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder = folder
        self.environ = {
            **{name: value for name, value in os.environ.items() if name.startswith("COV")},
            "PATH": os.environ["PATH"],
            "TMPDIR": str(folder),
            "PAIDUP_REDIS_SERVER": str(binary),
        }
        self.lines: list[str] = []
        self.child: subprocess.Popen[str] | None = None

    def start(self, *options: str, stderr: int = subprocess.STDOUT) -> "subprocess.Popen[str]":
        self.child = subprocess.Popen(
            [*PAIDUP, "demo", *options],
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        return self.child

    def read_until(self, words: str) -> str:
        """Read the output up to the first line with these words."""
        assert self.child
        assert self.child.stdout
        for line in self.child.stdout:
            self.lines.append(line.rstrip("\n"))
            if words in line:
                return line
        pytest.fail(f"it ended without {words!r}: {self.lines}")

    def parts(self) -> dict[int, str]:
        """Return the commands of the processes it started that still run, by process id."""
        assert self.child
        return {pid: command_of(pid) for pid in children_of(self.child.pid)}

    def end(self) -> int:
        """Read the rest of the output, and return the exit code."""
        assert self.child
        assert self.child.stdout
        self.lines += self.child.stdout.read().splitlines()
        self.child.stdout.close()
        return self.child.wait()

    def line_of(self, words: str) -> int:
        return next(number for number, line in enumerate(self.lines) if words in line)


@pytest.fixture
def run(servers_folder: Path, redis_binary: Path, tmp_path: Path) -> Iterator[Demo]:
    folder = servers_folder / f"demo-{tmp_path.name}"
    folder.mkdir()
    folder.chmod(0o711)
    demo = Demo(folder, redis_binary)
    yield demo
    if demo.child and not (demo.child.stdout and demo.child.stdout.closed):
        demo.child.send_signal(signal.SIGTERM)
        demo.child.communicate(timeout=120)


@pytest.fixture
def rivals(tmp_path: Path) -> Path:
    folder = tmp_path / "rivals"
    for name in ("billing", "models", "runtime", "ingest", "workers", "ops", "migrations"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('a rival {name}')")
    return folder


@pytest.mark.servers
def test_each_thing_is_shown_as_it_happens_whatever_else_is_on_pythons_path(
    run: Demo, rivals: Path
) -> None:
    run.environ["PYTHONPATH"] = str(rivals)
    run.start()

    run.read_until("usr_123 has paid and may use: max_devices=5")
    assert any("bin/postgres" in each for each in run.parts().values())
    run.read_until("Paidup settled each of the")
    shown = run.parts()
    assert any("bin/postgres" in each for each in shown.values()), "stopped before the summary"
    assert run.end() == 0

    titles = (
        "PostgreSQL is ready",
        "1. A paid checkout",
        "usr_123 has paid",
        "2. A first",
        "3. A one-time",
        "4. Requests that must be rejected",
        "Metrics",
        "Summary",
        "stopping ingest",
        "All checks passed",
    )
    numbers = [run.line_of(title) for title in titles]
    assert numbers == sorted(numbers)
    assert numbers[-1] == len(run.lines) - 1
    assert not any(command_of(pid) == each for pid, each in shown.items())
    assert list(run.folder.iterdir()) == []


@pytest.mark.servers
def test_the_document_stands_alone_on_standard_output(run: Demo) -> None:
    child = run.start("--json", stderr=subprocess.PIPE)

    said, read_response = child.communicate(timeout=120)

    document: Any = json.loads(said)
    assert document["ok"] is True
    assert round(sum(document["parts"].values()), 1) == document["seconds"]
    assert document["parts"].keys() == {"starting", "events", "stopping"}
    assert "usr_123 has paid and may use" in read_response
    assert read_response.splitlines()[-1].startswith(
        f"All checks passed. {document['seconds']:.1f} s"
    )


@pytest.mark.servers
@pytest.mark.parametrize(
    "moment", ["This demo starts", "PostgreSQL starts", "worker starts", "2. A first"]
)
def test_an_interruption_ends_it_with_everything_stopped(run: Demo, moment: str) -> None:
    child = run.start()
    run.read_until(moment)

    child.send_signal(signal.SIGINT)

    parts = run.parts()
    assert run.end() == 1
    assert run.lines[-1] == "interrupted"
    assert not any(each and command_of(pid) == each for pid, each in parts.items())
    assert list(run.folder.iterdir()) == []


@pytest.mark.servers
def test_a_demo_that_cannot_start_says_why_and_ends_with_its_time(run: Demo) -> None:
    run.environ["PAIDUP_REDIS_SERVER"] = "/bin/false"
    run.start()

    assert run.end() == 1

    assert any(line.startswith("paidup: ") and "/bin/false" in line for line in run.lines)
    assert run.lines[-1].startswith("The demo failed. ")
    assert "s starting servers" in run.lines[-1]
