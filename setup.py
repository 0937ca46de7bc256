"""Put every package inside ``paidup``, so that the wheel installs one name.

A file and no table in pyproject.toml: only here can the packages be found instead of listed.
"""

from setuptools import find_packages, setup

INSIDE = ("billing", "models", "runtime", "ingest", "workers", "ops", "migrations")

found = find_packages(include=[pattern for name in INSIDE for pattern in (name, f"{name}.*")])

setup(
    packages=["paidup", *(f"paidup.{name}" for name in found)],
    package_dir={f"paidup.{name}": name for name in INSIDE},
)
