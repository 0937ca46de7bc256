"""A page as a parsed tree, and the rules that hold for every page of the console."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

VOID = frozenset("br hr img input link meta wbr".split())  # noqa: SIM905
FIELDS = frozenset({"input", "select", "textarea"})
LEADING = ("href", "src", "action", "formaction", "hx-get", "hx-post")


@dataclass(eq=False, kw_only=True)
class Element:
    """An element; ``children`` are elements and texts in their order."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: "list[Element | str]" = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    @property
    def text(self) -> str:
        """All texts inside, with single spaces."""
        return " ".join("".join(self.texts()).split())

    def texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child.texts()
                yield (
                    " " if child.tag in ("td", "th", "li", "dd", "dt", "p", "option", "br") else ""
                )

    def walk(self) -> "Iterator[Element]":
        """Yield every element inside, in the order of the page."""
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.walk()

    def all(self, tag: str = "", **attributes: str) -> "list[Element]":
        """Return the elements with a tag and these attributes; ``class_`` is one class of several.

        Underscores in names stand for hyphens.
        """
        wanted = {name.rstrip("_").replace("_", "-"): text for name, text in attributes.items()}
        return [
            each
            for each in self.walk()
            if (not tag or each.tag == tag)
            and all(
                text in each.attributes.get(name, "").split()
                if name == "class"
                else each.attributes.get(name) == text
                for name, text in wanted.items()
            )
        ]

    def one(self, tag: str = "", **attributes: str) -> "Element":
        """Return the only element like that."""
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} of {tag} {attributes} in {self.text}"
        return found[0]

    def rows(self) -> list[list[str]]:
        """Return the texts of the cells of all rows in bodies of tables."""
        bodies = self.all("tbody")
        return [
            [cell.text for cell in row.all() if cell.tag in ("td", "th")]
            for body in bodies
            for row in body.all("tr")
        ]

    def links(self) -> dict[str, str]:
        """Return where each link leads, by its text."""
        return {each.text: each["href"] for each in self.all("a") if "href" in each.attributes}

    def form(self, button: str) -> dict[str, Any]:
        """Return what the form with this button would send, as it is shown."""
        (found,) = [
            form
            for form in self.all("form")
            if any(each.text == button for each in form.all("button"))
        ]
        sent = {
            each["name"]: each.attributes.get("value", "")
            for each in found.all("input")
            if "name" in each.attributes
            and (each.attributes.get("type") != "checkbox" or "checked" in each.attributes)
        }
        for choice in found.all("select"):
            chosen = [each for each in choice.all("option") if "selected" in each.attributes]
            first = (chosen or choice.all("option"))[0]
            sent[choice["name"]] = first.attributes.get("value", first.text)
        return sent | {each["name"]: each.text for each in found.all("textarea")}


class _Reader(HTMLParser):
    """Builds the tree; an end tag must close the last element that is open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element(tag="page")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag} has an attribute twice: {names}"
        element = Element(tag=tag, attributes={name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes {self.open[-1].tag}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_html(html: str) -> Element:
    """Return the tree of a page that closes what it opens."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    (page,) = reader.open
    return page


def check_page(page: Element) -> None:
    """Assert what holds for every page: nothing runs or leads elsewhere, everything has a name."""
    _check_inert(page)
    assert len(page.all("h1")) == 1
    assert page.one("title").text.replace("· Paidup", "").strip()
    ids = Counter(each["id"] for each in page.walk() if "id" in each.attributes)
    assert not [name for name, count in ids.items() if count > 1], ids
    assert all("scope" in each.attributes for each in page.all("th"))
    _check_names(page, frozenset(ids))


def _check_inert(page: Element) -> None:
    for each in page.walk():
        assert each.tag not in ("style", "iframe", "object", "embed", "base"), each.tag
        for name, value in each.attributes.items():
            assert not name.startswith("on"), f"{each.tag} {name}"
            assert name not in ("style", "srcdoc", "hx-on"), f"{each.tag} {name}"
            if name in LEADING:
                parts = urlsplit(value)
                assert not parts.scheme, value
                assert not parts.netloc, value
        if each.tag == "script":
            assert each["src"].startswith("/assets/"), each.attributes
            assert not each.children


def _check_names(page: Element, ids: frozenset[str]) -> None:
    """Assert that fields have labels, and that what is referred to is there."""
    labelled = {each["for"] for each in page.all("label") if "for" in each.attributes}
    inside = {id(each) for label in page.all("label") for each in label.walk()}
    for each in page.walk():
        if each.tag in FIELDS and each.attributes.get("type") != "hidden":
            named = {"aria-label", "aria-labelledby"} & each.attributes.keys()
            assert named or each.attributes.get("id") in labelled or id(each) in inside, (
                each.attributes
            )
        if each.tag in ("button", "a"):
            assert each.text or "aria-label" in each.attributes, each.attributes
        for name in ("aria-labelledby", "aria-describedby"):
            for referred in each.attributes.get(name, "").split():
                assert referred in ids, f"{name}={referred}"
