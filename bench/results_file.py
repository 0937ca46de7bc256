"""The file of all results; each command replaces its own part and leaves the others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PATH: Final = Path(__file__).with_name("results.json")


def read_results() -> dict[str, Any]:
    """Return the results by part."""
    results: dict[str, Any] = json.loads(PATH.read_text())
    return results


def keep_results(parts: Mapping[str, Any]) -> None:
    """Replace these parts."""
    PATH.write_text(json.dumps({**read_results(), **parts}, indent=1) + "\n")
