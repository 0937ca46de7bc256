"""The plans of `paidup demo`, which are used where there are no others."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

PLANS: Final = Path(__file__).absolute().with_name("demo.toml")

_VARIABLE: Final = "PAIDUP_PLANS"
_IN_THIS_FOLDER: Final = Path("plans.toml")


def with_plans(environ: Mapping[str, str], say: Callable[[str], None]) -> dict[str, str]:
    """Return the environment, with the demo's plans named in it if there are no others.

    Others are what ``PAIDUP_PLANS`` names, or a ``plans.toml`` in the current folder.
    ``say`` receives a line that names the demo's plans and says how to use others.
    """
    named = environ.get(_VARIABLE) or environ.get(f"{_VARIABLE}_FILE")
    if named or _IN_THIS_FOLDER.exists():
        return dict(environ)
    say(
        f"there is no {_IN_THIS_FOLDER} here, so the plans of `paidup demo` are used"
        f" ({PLANS}); to use your own, set {_VARIABLE} to your file"
    )
    return {**environ, _VARIABLE: str(PLANS)}
