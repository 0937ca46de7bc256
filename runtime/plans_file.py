"""Read the plans document from disk."""

import tomllib
from pathlib import Path

from billing.catalogue import Catalogue, read_catalogue
from billing.errors import InvalidCatalogue


class PlansMissing(Exception):
    """The plans document does not exist or cannot be read."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}; set PAIDUP_PLANS to the path of your plans document")


def read_plans(path: Path) -> Catalogue:
    """Return the catalogue that the file describes.

    Raises:
        PlansMissing: the file does not exist or cannot be read.
        InvalidCatalogue: it is invalid; the error names every problem.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(path, error) from error
    return read_catalogue(document)


def read_plans_text(text: str) -> Catalogue:
    """Return the catalogue that a document describes which is in no file.

    Raises:
        InvalidCatalogue: it is invalid; the error names every problem.
    """
    try:
        return read_catalogue(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidCatalogue((f"the document is not TOML: {error}",)) from error


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
