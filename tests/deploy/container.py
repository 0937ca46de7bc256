"""Run a container of a manifest as a process: its command, environment, files and restrictions.

A box is a user and mount namespace. In it the process has the manifest's user and group, no
capabilities, no way to new ones, and a file system that is read-only but for the volumes. It needs
no root. The system calls that a container runtime refuses (seccomp) are not refused here. Where a
machine allows no user namespaces, the process gets its command and environment only.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.deploy.kustomize import ROOT, Manifest

_ENTERING = """
set -eu
mount -t tmpfs -o mode=755 tmpfs /run
{volumes}
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
while read -r _ _ _ _ point options _; do
    case $point in /proc*|/sys*|/dev*{writable}) continue ;; esac
    mount -o "remount,bind,ro${{options#r?}}" "$point"
done < /proc/self/mountinfo
cd /tmp
exec unshare --user --map-user={user} --map-group={group} -- setpriv --no-new-privs "$@"
"""
_OUTER = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")


def boxes_work(paidup: Path) -> bool:
    """Return True if this machine lets us make such namespaces, and they have our program."""
    if any(shutil.which(name) is None for name in ("unshare", "setpriv")):
        return False
    temporary = {"volumes": "mount -t tmpfs tmpfs /tmp", "writable": "|/tmp"}
    entering = _ENTERING.format(**temporary, user=os.getuid(), group=os.getgid())
    probe = [*_OUTER, "sh", "-c", entering, "sh", "test", "-x", str(paidup)]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


class Container:
    """A container of a Pod; ``files`` has a folder for each volume that is no emptyDir."""

    def __init__(
        self, pod: Manifest, files: Mapping[str, Path], *, boxed: bool, paidup: Path
    ) -> None:
        self._pod = pod
        (self.manifest,) = pod["spec"]["containers"]
        self._files = files
        self._boxed = boxed
        self._paidup = paidup

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return its variables: the image's, those of ``settings``, then its own."""
        return {
            "PATH": f"{self._paidup.parent}:{os.environ['PATH']}",
            **image_environment(),
            **(settings if "envFrom" in self.manifest else {}),
            **{each["name"]: self._here(each["value"]) for each in self.manifest["env"]},
        }

    def command(self) -> list[str]:
        """Return the command with its arguments, after the image's entrypoint if that counts."""
        return self.running(self.manifest.get("command") or ["paidup", *self.manifest["args"]])

    def running(self, command: Sequence[str]) -> list[str]:
        """Return how another command runs in the same container, as by `kubectl exec`."""
        program = [str(self._paidup) if part == "paidup" else part for part in command]
        if not self._boxed:
            return program
        return [*_OUTER, "sh", "-c", self._entering(), "sh", *program]

    def _here(self, text: str) -> str:
        """Return a path inside the container as one of this machine, unless there is a box."""
        if self._boxed:
            return text
        for mount in self.manifest["volumeMounts"]:
            if (folder := self._files.get(mount["name"])) is not None:
                text = text.replace(mount["mountPath"], str(folder))
        return text

    def _entering(self) -> str:
        context = self._pod["spec"]["securityContext"]
        security = self.manifest["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert not security["allowPrivilegeEscalation"]
        volumes, writable = [], []
        # What is mounted over /tmp may hide folders that are mounted elsewhere, so it comes last.
        for mount in sorted(self.manifest["volumeMounts"], key=lambda m: m["name"] == "tmp"):
            path = shlex.quote(mount["mountPath"])
            if (folder := self._files.get(mount["name"])) is None:
                volumes.append(f"mount -t tmpfs -o mode=1777 tmpfs {path}")
                writable.append(f"|{path}")
            else:
                volumes.append(f"mkdir -p {path} && mount --bind {shlex.quote(str(folder))} {path}")
        return _ENTERING.format(
            volumes="\n".join(volumes),
            writable="".join(writable),
            user=context["runAsUser"],
            group=context["runAsGroup"],
        )


def image_environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return dict(pair.split("=", 1) for pair in shlex.split(block.replace("\\\n", " ")))
