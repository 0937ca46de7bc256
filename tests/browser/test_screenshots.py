"""The pictures show the pages that they are named after, in the size of their form."""

import struct
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from bench.screenshots import PICTURES, NotShown, file_name, paths_of_pictures, take_pictures
from tests.browser.driver import FORMS, WIDE, ZOOMED, PageForm
from tests.browser.page_paths import PageRoute
from tests.browser.small_site import TOKEN

pytestmark = [pytest.mark.browser, pytest.mark.servers]

ROUTES = [
    PageRoute(endpoint="overview.show", rule="/"),
    PageRoute(endpoint="jobs.show", rule="/jobs/<int:plan>"),
]


def size(picture: Path) -> tuple[int, int]:
    """Return the width and the height that the header of a PNG file states."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    return width, height


@pytest.mark.parametrize("form", [*FORMS, ZOOMED], ids=lambda form: form.name)
def test_a_picture_has_the_size_of_its_form_in_pixels_of_the_screen(
    browser: Browser, small_site: str, tmp_path: Path, form: PageForm
) -> None:
    take_pictures(browser, small_site, {"a": "/good"}, tmp_path, token=TOKEN, form=form)

    assert size(tmp_path / "a.png") == (form.width * form.scale, form.height * form.scale)


def test_a_whole_page_is_as_high_as_it_is(
    browser: Browser, small_site: str, tmp_path: Path
) -> None:
    take_pictures(browser, small_site, {"a": "/high"}, tmp_path, token=TOKEN, whole=True)

    width, height = size(tmp_path / "a.png")
    assert (width, height > 3000) == (WIDE.width, True)


def test_each_picture_of_the_readme_has_a_path() -> None:
    assert paths_of_pictures(ROUTES) == {
        "console-overview": "/",
        "console-preview": "/jobs/1",
    }
    assert [*PICTURES] == ["console-overview", "console-preview"]


def test_a_picture_whose_page_is_gone_is_named() -> None:
    with pytest.raises(NotShown, match=r"console-preview: the console has no page jobs\.show"):
        paths_of_pictures(ROUTES[:1])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "overview"),
        ("/users/<user_id:user>", "users-user_id-user"),
        ("/search?q=a", "search-q=a"),
    ],
)
def test_a_file_is_named_after_its_page(path: str, name: str) -> None:
    assert file_name(path) == name
