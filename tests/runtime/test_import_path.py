import os

import pytest

from runtime.import_path import FOLDER, importing_ours


@pytest.mark.parametrize(
    ("theirs", "path"),
    [
        (None, [str(FOLDER)]),
        ("", [str(FOLDER)]),
        ("/a:/b", [str(FOLDER), "/a", "/b"]),
        (":/a::/b:", [str(FOLDER), "/a", "/b"]),
        (f"/a:{FOLDER}", [str(FOLDER), "/a"]),
    ],
)
def test_our_folder_is_first_and_the_operators_follow(theirs: str | None, path: list[str]) -> None:
    environ = {"A": "1"} if theirs is None else {"A": "1", "PYTHONPATH": theirs}

    seen = importing_ours(environ)

    assert seen == {"A": "1", "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path)}


def test_our_folder_holds_our_packages() -> None:
    assert (FOLDER / "billing" / "__init__.py").exists()
    assert (FOLDER / "ingest" / "__main__.py").exists()
