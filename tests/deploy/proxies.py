"""nginx and Caddy with the shipped configurations, as unprivileged processes on loopback.

Only what cannot hold in a test is substituted: ports, the folder of the certificate, and for Caddy
the way it comes by a certificate. The host name stays. A substitution that does not match fails.
"""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from ops.up.servers.account import server_account, temporary_folder
from ops.up.servers.ports import LOOPBACK, free_port
from tests.ingest.ingest_process import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
HOST = "hooks.example.com"

# What Debian's nginx.conf does for a file in conf.d, with its own files in the test's folder.
_NGINX_CONF = """\
daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include conf.d/*.conf;
}
"""


class Reply(NamedTuple):
    """The answer that came through the proxy."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_from_ingest(self) -> bool:
        """True if ingest wrote it: a proxy's own answers are no problem documents."""
        return self.headers.get("Content-Type") == "application/problem+json"


class ProxyKind(Protocol):
    """One of the two programs, with its configuration and its commands."""

    name: str
    chunked: int
    body_timeout: str

    def write(self, folder: Path, changes: Mapping[str, str], *, port: int, ingest: int) -> None:
        """Write the shipped configuration with this test's ports and files into the folder."""

    def check(self, program: str, folder: Path) -> list[str]:
        """Return the command that checks the configuration and starts nothing."""

    def run(self, program: str, folder: Path) -> list[str]:
        """Return the command that serves in the foreground."""


class Nginx:
    """nginx, with the file included as Debian includes the files of /etc/nginx/conf.d."""

    name = "nginx"
    chunked = 202
    body_timeout = "client_body_timeout 10s"

    def write(self, folder: Path, changes: Mapping[str, str], *, port: int, ingest: int) -> None:
        shipped = (DEPLOY / "nginx" / "paidup.conf").read_text()
        here = {
            "listen 443 ssl": f"listen {LOOPBACK}:{port} ssl",
            "server 127.0.0.1:8000": f"server {LOOPBACK}:{ingest}",
            "/etc/ssl/paidup/fullchain.pem": f"{folder}/fullchain.pem",
            "/etc/ssl/paidup/privkey.pem": f"{folder}/privkey.pem",
            **changes,
        }
        (folder / "conf.d").mkdir()
        (folder / "conf.d" / "paidup.conf").write_text(substituted(shipped, here))
        (folder / "nginx.conf").write_text(_NGINX_CONF)

    def check(self, program: str, folder: Path) -> list[str]:
        return [*self.run(program, folder), "-t"]

    def run(self, program: str, folder: Path) -> list[str]:
        return [program, "-e", "stderr", "-p", str(folder), "-c", "nginx.conf"]


class Caddy:
    """Caddy, with a certificate of the test instead of one from an authority."""

    name = "caddy"
    chunked = 411
    body_timeout = "read_body 10s"

    def write(self, folder: Path, changes: Mapping[str, str], *, port: int, ingest: int) -> None:
        shipped = (DEPLOY / "caddy" / "Caddyfile").read_text()
        certificate = f"tls {folder}/fullchain.pem {folder}/privkey.pem"
        here = {
            f"\n{HOST} {{": f"\n{HOST}:{port} {{\n\tbind {LOOPBACK}\n\t{certificate}",
            "auto_https disable_redirects": "auto_https disable_redirects\n\tadmin off",
            "reverse_proxy 127.0.0.1:8000": f"reverse_proxy {LOOPBACK}:{ingest}",
            **changes,
        }
        (folder / "Caddyfile").write_text(substituted(shipped, here))

    def check(self, program: str, folder: Path) -> list[str]:
        return [program, "validate", *self._configuration(folder)]

    def run(self, program: str, folder: Path) -> list[str]:
        return [program, "run", *self._configuration(folder)]

    def _configuration(self, folder: Path) -> list[str]:
        return ["--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def substituted(text: str, changes: Mapping[str, str]) -> str:
    """Return the text with each key replaced by its value; each must occur exactly once."""
    for shipped, here in changes.items():
        assert text.count(shipped) == 1, f"{shipped!r} must be in the configuration once"
        text = text.replace(shipped, here)
    return text


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy."""

    kind: ProxyKind
    process: subprocess.Popen[bytes]
    port: int
    trust: ssl.SSLContext

    def connect(self, *, client: str = LOOPBACK) -> ssl.SSLSocket:
        """Open a TLS connection from this address of loopback; the certificate is verified."""
        plain = socket.create_connection(
            (LOOPBACK, self.port), timeout=30, source_address=(client, 0)
        )
        return self.trust.wrap_socket(plain, server_hostname=HOST)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        *,
        client: str = LOOPBACK,
        **headers: str,
    ) -> Reply:
        """Send one request; an iterator as the body is sent in chunks."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection(HOST, self.port)
        connection.sock = self.connect(client=client)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def stop(self) -> None:
        """Stop it, and wait until it has ended."""
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def proxying(
    kind: ProxyKind, ingest: int, changes: Mapping[str, str] | None = None
) -> Iterator[Proxy]:
    """Start the proxy in front of this port of loopback; stop it and remove its files.

    ``changes`` are further substitutions in its configuration.
    """
    program, port = installed(kind.name), free_port()
    folder = temporary_folder("paidup-proxy-")
    try:
        certificate = make_certificate(folder)
        kind.write(folder, changes or {}, port=port, ingest=ingest)
        _hand_over(folder)
        checked = _start(kind.check(program, folder), folder)
        assert checked.wait(30) == 0, (folder / "log").read_text()
        trust = ssl.create_default_context(cafile=str(certificate))
        proxy = Proxy(kind, _start(kind.run(program, folder), folder), port, trust)
        try:
            wait_until(lambda: _listens(proxy, folder / "log"))
            yield proxy
        finally:
            proxy.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_certificate(folder: Path) -> Path:
    """Write a self-signed certificate for the host, and its key; return the certificate's path."""
    certificate = folder / "fullchain.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-days", "2"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(certificate)]
    command = [installed("openssl"), "req", "-x509", *key, *name, *files]
    subprocess.run(command, check=True, capture_output=True)
    return certificate


def installed(name: str) -> str:
    """Return the path of a program; skip the test where it is not installed."""
    # Debian keeps nginx where only root's PATH leads.
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: `apt-get install {name}` runs this test")
    return found


def _hand_over(folder: Path) -> None:
    """Give the folder to the account of the proxy, if it is not the account of the test."""
    if (account := server_account()) is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.uid, account.gid)


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a program without root's rights, with all that it writes in the folder."""
    account = server_account()
    writes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], **writes},
            stdout=log,
            stderr=log,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def _listens(proxy: Proxy, log: Path) -> bool:
    assert proxy.process.poll() is None, log.read_text()
    with suppress(OSError), proxy.connect():
        return True
    return False
