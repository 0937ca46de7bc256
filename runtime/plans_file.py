"""The plans document on disk: read whole, and every problem named."""

import tomllib
from pathlib import Path

from billing.catalogue import Catalogue, read_catalogue
from billing.errors import InvalidCatalogue


class PlansMissing(Exception):
    """The plans document is not where the settings say, or cannot be read."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}; PAIDUP_PLANS names the plans document")


def read_plans(path: Path) -> Catalogue:
    """The catalogue that the file describes.

    Raises:
        PlansMissing: if there is no such file, or it cannot be read.
        InvalidCatalogue: naming everything that is wrong in it.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(path, error) from error
    return read_catalogue(document)


def _refused(path: Path, error: OSError | ValueError) -> Exception:
    match error:
        case OSError():
            return PlansMissing(path, error.strerror or "cannot be read")
        case tomllib.TOMLDecodeError():
            return InvalidCatalogue((f"{path} is not TOML: {error}",))
        case UnicodeDecodeError():
            return InvalidCatalogue((f"{path} is not UTF-8",))
        case _:  # a path with NUL in it
            return PlansMissing(path, str(error))
