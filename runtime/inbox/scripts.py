"""The Lua scripts, put together from their files. Each is all or nothing, in one round trip.

A script that starts with ``--!use a b`` has the files ``a.lua`` and ``b.lua`` put before it.
"""

from importlib.resources import files
from typing import Any, Final

import redis
from redis.commands.core import Script

_USE: Final = "--!use "

Argument = str | bytes | int | float


def source(name: str) -> str:
    """The whole text of a script: what it uses, then the script itself."""
    text = _file(name)
    first = text.partition("\n")[0]
    used = first.removeprefix(_USE).split() if first.startswith(_USE) else []
    return "\n".join([*map(_file, used), text])


def _file(name: str) -> str:
    return files("runtime.inbox").joinpath(f"{name}.lua").read_text(encoding="utf-8")


class Scripts:
    """Runs scripts by their digest; a server that does not know one is taught it once."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self.prefix = prefix
        self._client = client
        self._scripts: dict[str, Script] = {}

    def run(self, name: str, *arguments: Argument) -> Any:
        """The script's answer."""
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self._client.register_script(source(name))
        return script(args=(self.prefix, *arguments))
