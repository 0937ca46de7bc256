"""A process that is the first of its PID namespace, as in a container, and what it inherits."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ops.up.servers.process_table import children_of, command_of
from runtime.time_limits import ZOMBIE_LOOK_SECONDS
from tests.killing import kill
from tests.workers.fakes import ManualClock
from tests.workers.waiting import until
from tests.workers.worker_process import REPOSITORY, WorkerSite, customers, running
from workers.supervisor.zombies import ZombieReaper

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def as_first_process(command: Sequence[str]) -> list[str]:
    return [*UNSHARE, *command]


@pytest.fixture
def namespace() -> None:
    """Skip the test where a process may not make a PID namespace."""
    try:
        subprocess.run(as_first_process(["true"]), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs `unshare` of util-linux and the right to make a PID namespace: {error}")


INHERITS = """
import os, subprocess, sys, time
from workers.supervisor.zombies import ZombieReaper

def ended():
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        state, parent, *_ = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()
        if state == "Z" and parent == "1":
            found.add(int(name))
    return found

assert os.getpid() == 1
named = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
# A Popen that is given up asks after its process; one that is kept does not.
leaves = "import os, subprocess as s; o = s.Popen(['true']); print(o.pid, flush=True); os._exit(0)"
orphan = int(subprocess.run([sys.executable, "-c", leaves], capture_output=True).stdout)
while {named.pid, orphan} - ended():
    pass
looks = iter(range(0, 10_000, 10))
reaper = ZombieReaper(lambda: (named.pid, None), lambda: next(looks))
reaper.reap_if_due()
assert ended() == {named.pid, orphan}, "what has just ended may have someone who waits for it"
reaper.reap_if_due()
assert ended() == {named.pid}, ended()
reaper.reap_if_due()
assert named.wait() == 7
for code in range(20):
    started = subprocess.run([sys.executable, "-c", f"raise SystemExit({code})"])
    reaper.reap_if_due()
    assert started.returncode == code
print("reaped")
"""


@pytest.mark.usefixtures("namespace")
def test_an_orphan_is_reaped_and_the_exit_codes_of_others_are_not_taken() -> None:
    command = as_first_process([sys.executable, "-c", INHERITS])
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "reaped\n"), done.stderr


def test_elsewhere_nothing_is_reaped() -> None:
    clock = ManualClock()
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    until(lambda: ") Z " in Path(f"/proc/{ended.pid}/stat").read_text())

    reaper = ZombieReaper(lambda: (), lambda: clock.now)
    for _ in range(3):
        clock.now += ZOMBIE_LOOK_SECONDS
        reaper.reap_if_due()

    assert ended.wait() == 7


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    site.install_plans()
    yield site
    site.close()


@pytest.mark.servers
@pytest.mark.usefixtures("namespace")
def test_a_supervisor_that_is_the_first_process_leaves_no_zombies_of_a_killed_pool(
    site: WorkerSite,
) -> None:
    with running(site, "workers", as_first_process) as worker:

        def pool_of_two() -> tuple[int, list[int]] | None:
            for supervisor in children_of(worker.process.pid):
                for pid in children_of(supervisor):
                    if "workers.drain.pool" in command_of(pid) and len(children_of(pid)) == 2:
                        return pid, children_of(pid)
            return None

        until(lambda: pool_of_two() is not None, seconds=60, why=f"ready; see {site.log}")
        pool, orphans = pool_of_two() or (0, [])
        kill(pool)

        until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in [pool, *orphans]), seconds=60
        )
        until(lambda: (pool_of_two() or (pool,))[0] != pool, seconds=60)
        ids = site.accept(customers(range(20)))
        site.until_drained()
        site.assert_each_applied_once(ids)
