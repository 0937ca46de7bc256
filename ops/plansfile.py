"""The plans document on disk: read whole, and every problem named."""

import tomllib
from pathlib import Path

from billing.catalogue import Catalogue, read_catalogue
from billing.errors import InvalidCatalogue
from ops.errors import PlansMissing


def read_plans(path: Path) -> Catalogue:
    """The catalogue that the file describes.

    Raises:
        PlansMissing: if there is no such file, or it cannot be read.
        InvalidCatalogue: naming everything that is wrong in it.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlansMissing(path, error.strerror or "cannot be read") from error
    except UnicodeDecodeError as error:
        raise InvalidCatalogue((f"{path} is not UTF-8",)) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidCatalogue((f"{path} is not TOML: {error}",)) from error
    return read_catalogue(document)
