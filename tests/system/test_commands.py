"""The commands a newcomer runs first, as processes, against real servers."""

import json
import os
import subprocess
import sys

import pytest

from tests.system.stack_env import StackUnderTest

pytestmark = pytest.mark.servers


def paidup(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PAIDUP_", "STRIPE_"))}
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments],
        env={**clean, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_all_checks_of_the_demo_pass() -> None:
    done = paidup("demo", "--json")

    account = json.loads(done.stdout)
    assert (done.returncode, account["problems"]) == (0, [])
    assert account["steps"][0]["user_id"] == "usr_123"
    assert account["steps"][0]["payments"][0]["amount_minor"] == 2999
    assert [check["status"] for check in account["rejections"]] == [200, 403, 403, 400, 400]
    assert "\x1b" not in done.stderr


def test_send_finds_what_up_runs_and_everything_settles(system: StackUnderTest) -> None:
    options = ("--scenario", "all", "--shape", "both", "--shuffle", "5", "--duplicates", "1")

    done = paidup(
        "send", *options, "--concurrency", "4", "--json", PAIDUP_DATA_DIR=str(system.stack.data_dir)
    )

    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert report["url"] == system.stack.webhook_url
    assert report["answers"]["202"] * 2 == report["deliveries"]
    assert report["answers"]["200"] == report["answers"]["202"]
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]


def test_send_with_a_wrong_secret_is_refused_and_says_so(system: StackUnderTest) -> None:
    done = paidup(
        "send", "--url", system.stack.webhook_url, "--secret", "whsec_wrong", "--count", "1"
    )

    assert done.returncode == 1
    assert "403: 13" in done.stdout
    assert "none of this endpoint's secrets" in done.stdout
