"""A real RabbitMQ, to stop, kill, freeze and fill.

Debian's package has it; where it is not installed, the tests that need it are skipped. Each server
has an Erlang port mapper of its own, so that it meets no other node of the machine.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from kombu import Connection

from ops.up.servers import ports
from ops.up.servers.process import Process

FOLDER = Path("/usr/lib/rabbitmq/bin")
"""Debian's programs; those on the PATH want to be started by root."""

PROGRAM = FOLDER / "rabbitmq-server"
PORT_MAPPER = shutil.which("epmd")

_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
vm_memory_high_watermark.absolute = {memory}
disk_free_limit.absolute = 1MB
log.console = false
{more}"""
_ENOUGH_MEMORY = "256MB"
_ON_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"


class PortMapper(Process):
    """Tells the tools of one RabbitMQ where it listens."""

    name = "epmd"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder=folder, run=folder, log=folder / "epmd.log")
        self.port = ports.free_port()

    def command(self) -> Sequence[str | Path]:
        """Return the command, which stays in the foreground."""
        assert PORT_MAPPER is not None, "skipped where it is not installed"
        return (PORT_MAPPER, "-address", ports.LOOPBACK, "-port", str(self.port))


class RabbitMq(Process):
    """One server of one node; its ports stay the same across restarts."""

    name = "rabbitmq"
    start_seconds = 90.0
    stop_seconds = 30.0

    def __init__(self, folder: Path, *, more: str = "") -> None:
        """Take further lines of ``rabbitmq.conf``."""
        super().__init__(folder=folder, run=folder, log=folder / "rabbitmq.log")
        self.port = ports.free_port()
        self._between_nodes = ports.free_port()
        self._more = more
        self._mapper = PortMapper(folder)

    @property
    def url(self) -> str:
        """The URL with user and password, as an operator writes it."""
        return f"amqp://guest:guest@{ports.LOOPBACK}:{self.port}//"

    def command(self) -> Sequence[str | Path]:
        """Return the command."""
        return (PROGRAM,)

    def environ(self) -> Mapping[str, str]:
        """Return the environment, which has all settings that the configuration cannot have."""
        return {
            **super().environ(),
            "HOME": str(self.folder),
            "PATH": os.defpath,
            # The script then becomes the server and does not wait beside it.
            "detached": "1",
            "RABBITMQ_NODENAME": f"paidup-{self.port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "no_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_DIST_PORT": str(self._between_nodes),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 1:1 {_ON_LOOPBACK}",
            "RABBITMQ_CTL_ERL_ARGS": _ON_LOOPBACK,
            "ERL_EPMD_ADDRESS": ports.LOOPBACK,
            "ERL_EPMD_PORT": str(self._mapper.port),
        }

    def prepare(self) -> None:
        """Write the configuration, and start the port mapper, which outlives the server."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = _CONFIG.format(port=self.port, memory=_ENOUGH_MEMORY, more=self._more)
        (self.folder / "rabbitmq.conf").write_text(config)
        if not self._mapper.is_alive():
            self._mapper.start()

    def is_ready(self) -> bool:
        """Return True if it takes a connection."""
        try:
            with Connection(self.url, connect_timeout=1) as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def control(self, *command: str) -> str:
        """Run ``rabbitmqctl`` and return what it printed."""
        done = subprocess.run(
            [FOLDER / "rabbitmqctl", "--quiet", *command],
            env=dict(self.environ()),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def block(self) -> None:
        """Raise the alarm of a server whose memory is full: it takes no message."""
        self._limit_memory("1", alarms="[_ | _]")

    def unblock(self) -> None:
        """End the alarm."""
        self._limit_memory(f'"{_ENOUGH_MEMORY}"', alarms="[]")

    def _limit_memory(self, limit: str, *, alarms: str) -> None:
        """Set the limit, and wait for the alarms; the server looks at its memory now and then."""
        self.control(
            "eval",
            f"vm_memory_monitor:set_vm_memory_high_watermark({{absolute, {limit}}}),"
            " Wait = fun(Again) -> case rabbit_alarm:get_alarms() of"
            f" {alarms} -> ok; _ -> timer:sleep(20), Again(Again) end end, Wait(Wait).",
        )

    def queue_lengths(self) -> Mapping[str, int]:
        """Return the messages in each queue, those that workers hold included."""
        lines = self.control("list_queues", "name", "messages", "--no-table-headers").splitlines()
        return {name: int(count) for name, _, count in (line.partition("\t") for line in lines)}

    def stop(self) -> None:
        """Stop the server, then the port mapper."""
        super().stop()
        self._mapper.stop()


@contextmanager
def rabbitmq(folder: Path, *, more: str = "") -> Iterator[RabbitMq]:
    """Run a server; skip the test where there is none."""
    if PORT_MAPPER is None or not PROGRAM.exists():
        pytest.skip("needs Debian's rabbitmq-server")
    server = RabbitMq(folder, more=more)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
