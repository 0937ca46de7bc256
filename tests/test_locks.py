"""The locks are complete: pip can install each of them without resolving anything.

Every lock is held against the metadata of what is installed here. A dependency or an extra that a
lock leaves out would be resolved on the day of the installation, to whatever is newest then.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "requirements/base.txt": (),
    "requirements/embedded.txt": ("embedded",),
    "requirements/dev.txt": ("embedded", "dev"),
}
"""The locks of what is installed here, smallest first, and the project's extras in each."""

BESIDE = (
    "requirements/browser.txt",
    "requirements/mutants.txt",
    "bench/djstripe/requirements.txt",
    "bench/postgres.txt",
)
"""The locks of environments of their own, and of what `make browser-setup` adds to this one."""

HASH = re.compile(r"\s--hash=sha256:[0-9a-f]{64}")
PLACE = re.compile(r"://|(^|\s)[/~]|\s@\s|^-|^\s*#.*--(index|extra-index|find-links)")
"""A host, an index, a folder of one machine, or an option of pip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One entry of a lock."""

    name: str
    version: str
    extras: frozenset[str]
    marker: Marker | None
    hashes: int

    @property
    def active(self) -> bool:
        """True if it is to be installed on this machine."""
        return self.marker is None or self.marker.evaluate()


def pins(lock: str) -> list[Pin]:
    """Return the entries of a lock.

    Raises:
        AssertionError: naming an entry that no ``==`` pins.
    """
    joined = re.sub(r"\s*\\\n\s*", " ", lock)
    lines = [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]
    return [pin(line) for line in lines]


def pin(line: str) -> Pin:
    wanted = Requirement(HASH.sub("", line))
    specifiers = list(wanted.specifier)
    exact = [s.version for s in specifiers if s.operator == "==" and not s.version.endswith("*")]
    assert len(exact) == len(specifiers) == 1, f"{wanted.name} is not pinned by =="
    return Pin(
        name=canonicalize_name(wanted.name),
        version=exact[0],
        extras=frozenset(canonicalize_name(extra) for extra in wanted.extras),
        marker=wanted.marker,
        hashes=len(HASH.findall(line)),
    )


def text_of(lock: str) -> str:
    return (ROOT / lock).read_text()


def active_pins(lock: str) -> dict[str, Pin]:
    return {pin.name: pin for pin in pins(lock) if pin.active}


def project_requirements(extras: tuple[str, ...]) -> list[Requirement]:
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][e] for e in extras)]
    return [Requirement(text) for group in groups for text in group]


def requirements_of(locked: Pin) -> Iterator[Requirement]:
    """Yield what an installed distribution needs here, with the extras its lock asks for."""
    for text in metadata.requires(locked.name) or []:
        needed = Requirement(text)
        chosen = ("", *locked.extras)
        if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in chosen):
            yield needed


def lacking(needed: Requirement, lock: Mapping[str, Pin]) -> str | None:
    """Return what the lock lacks of one requirement, or None."""
    found = lock.get(canonicalize_name(needed.name))
    if found is None:
        return f"{needed.name} is not in the lock"
    if not needed.specifier.contains(found.version, prereleases=True):
        return f"{needed.name} is locked at {found.version}, not {needed.specifier}"
    missing = {canonicalize_name(extra) for extra in needed.extras} - found.extras
    return f"{needed.name} is locked without [{', '.join(sorted(missing))}]" if missing else None


def gaps(lock: str, extras: tuple[str, ...]) -> list[str]:
    """Return a sentence for each active requirement or extra that the lock does not hold."""
    active = active_pins(lock)
    asked = [("paidup", needed) for needed in project_requirements(extras)]
    asked += [(pin.name, needed) for pin in active.values() for needed in requirements_of(pin)]
    answers = [(who, needed, lacking(needed, active)) for who, needed in asked]
    return [f"{who} requires {needed}, but {gap}" for who, needed, gap in answers if gap]


@pytest.mark.parametrize("lock", EXTRAS)
def test_what_is_installed_here_is_what_is_locked(lock: str) -> None:
    locked = {name: pin.version for name, pin in active_pins(text_of(lock)).items()}

    installed = {name: metadata.version(name) for name in locked}

    assert installed == locked, "this environment is not the lock's: run `make setup`"


@pytest.mark.parametrize(("lock", "extras"), EXTRAS.items())
def test_a_lock_holds_every_active_requirement_and_extra(
    lock: str, extras: tuple[str, ...]
) -> None:
    assert gaps(text_of(lock), extras) == []


def test_a_lock_without_an_extra_that_a_dependency_asks_for_has_a_gap() -> None:
    lock = text_of("requirements/dev.txt").replace("coverage[toml]==", "coverage==")

    (gap,) = gaps(lock, EXTRAS["requirements/dev.txt"])

    assert gap.startswith("pytest-cov requires coverage[toml]")
    assert gap.endswith("but coverage is locked without [toml]")


def test_a_lock_without_what_an_extra_brings_has_a_gap() -> None:
    lock = re.sub(r"(?m)^hiredis==", "other==", text_of("requirements/base.txt"))
    kept = "\n".join(part for part in re.split(r"(?m)^(?=\w)", lock) if part[:7] != "other==")

    (gap,) = gaps(kept, ())

    assert gap.startswith("redis requires hiredis")
    assert gap.endswith("but hiredis is not in the lock")


def test_a_lock_whose_version_does_not_satisfy_who_asks_has_a_gap() -> None:
    lock = re.sub(r"(?m)^flask==\S+", "flask==3.0.3", text_of("requirements/base.txt"))

    assert gaps(lock, ()) == ["paidup requires flask>=3.1, but flask is locked at 3.0.3, not >=3.1"]


@pytest.mark.parametrize("lock", [*EXTRAS, *BESIDE])
def test_every_entry_is_pinned_once_and_has_hashes(lock: str) -> None:
    found = pins(text_of(lock))

    names = [pin.name for pin in found]

    assert names == sorted(set(names))
    assert [pin.name for pin in found if pin.hashes == 0] == []


@pytest.mark.parametrize("lock", [*EXTRAS, *BESIDE])
def test_a_lock_names_no_place(lock: str) -> None:
    assert [line for line in text_of(lock).splitlines() if PLACE.search(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://packages.example/simple",
        "--find-links /opt/wheels",
        "example @ file:///opt/example.whl",
        "    # via -r /srv/paidup/requirements.in",
        "-e .",
    ],
)
def test_a_place_is_recognized(line: str) -> None:
    assert PLACE.search(line)


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("requirements/base.txt", "requirements/embedded.txt"),
        ("requirements/embedded.txt", "requirements/dev.txt"),
        ("requirements/dev.txt", "requirements/browser.txt"),
        ("requirements/dev.txt", "requirements/mutants.txt"),
    ],
)
def test_a_larger_lock_holds_the_smaller_one_unchanged(smaller: str, larger: str) -> None:
    held = {pin.name: pin for pin in pins(text_of(larger))}

    for locked in pins(text_of(smaller)):
        same = held[locked.name]
        assert (same.version, same.marker) == (locked.version, locked.marker)
        assert same.hashes == locked.hashes
        assert same.extras >= locked.extras


@pytest.mark.parametrize(
    ("asked", "lock"),
    [
        ("requirements/browser.in", "requirements/browser.txt"),
        ("requirements/mutants.in", "requirements/mutants.txt"),
        ("bench/djstripe/requirements.in", "bench/djstripe/requirements.txt"),
        ("bench/postgres.in", "bench/postgres.txt"),
    ],
)
def test_what_is_asked_for_beside_the_project_is_locked_as_it_is_asked_for(
    asked: str, lock: str
) -> None:
    held = {pin.name: pin for pin in pins(text_of(lock))}
    lines = [line for line in text_of(asked).splitlines() if not line.startswith("#")]

    assert lines
    assert [gap for line in lines if (gap := lacking(Requirement(line), held))] == []


def test_the_lock_of_node_has_hashes_and_names_no_place() -> None:
    lock: dict[str, Any] = json.loads(text_of("bench/sync_engine/package-lock.json"))
    asked = json.loads(text_of("bench/sync_engine/package.json"))["dependencies"]

    packages = {name: package for name, package in lock["packages"].items() if name}

    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert {n: packages[f"node_modules/{n}"]["version"] for n in asked} == asked


@pytest.mark.parametrize(
    "file",
    ["Makefile", "requirements/install.py", "Dockerfile", "bench/setup", "bench/postgres"],
)
def test_every_hashed_install_leaves_the_resolver_out(file: str) -> None:
    commands = re.sub(r"\\\n", " ", text_of(file)).splitlines()

    hashed = [command for command in commands if "--require-hashes" in command]

    assert hashed
    assert [command for command in hashed if "--no-deps" not in command] == []
