"""Draw ``docs/demo.svg``, the picture in the README, from what ``paidup demo`` really prints.

``make picture`` runs the installed demo in a pseudo terminal of a fixed size, so the colours and
line breaks are those that a reader will see. The whole output is too tall for a page. The picture
has the parts that ``PARTS`` names and the last line, and a line of three dots for each part that
was left out. Paths of this machine are shortened; nothing else is changed.
"""

import argparse
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "demo.svg"
COLUMNS, LINES = 100, 50
PARTS = (("", "paidup:"), ("1. ", "2. "), ("4. Requests", "Metrics that moved"))
"""The first line of each part, and the line behind it; the introduction comes first."""

_PROMPT = "\x1b[1m$ paidup demo\x1b[0m"
_DOTS = "\x1b[2m...\x1b[0m"
_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_FOLDER = re.compile(r"/\S*/(?=paidup-demo-)")


class NotDrawn(Exception):
    """The demo failed, or it printed something that a picture of lines cannot show."""


def main() -> None:
    """Run the demo and write the picture of it."""
    parser = argparse.ArgumentParser(description="Draw docs/demo.svg from the demo's real output.")
    parser.add_argument("--to", type=Path, default=TARGET, help="the file to write")
    target: Path = parser.parse_args().to
    try:
        lines = printed(run_demo(Path(sys.executable).with_name("paidup")), root=ROOT)
        drawn = draw([_PROMPT, *shown(lines)])
    except NotDrawn as refused:
        sys.exit(f"picture: {refused}")
    target.write_text(drawn, encoding="utf-8")


def run_demo(program: Path) -> str:
    """Return everything that ``program demo`` writes to a terminal of ``COLUMNS`` by ``LINES``.

    Raises:
        NotDrawn: it did not end with exit code 0.
    """
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environ = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES", "NO_COLOR"}}
    environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(  # noqa: S603 - the installed command
        [program, "demo"], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    ) as demo:
        os.close(theirs)
        written = b"".join(_read(ours))
    os.close(ours)
    text = written.decode()
    if demo.returncode:
        raise NotDrawn(
            f"the demo ended with {demo.returncode}; run `paidup demo`. It said:\n{text}"
        )
    return text


def _read(terminal: int) -> Iterator[bytes]:
    """Yield the output until the last writer has closed the terminal."""
    while True:
        try:
            block = os.read(terminal, 65536)
        except OSError:  # Linux: EIO, the other end is closed
            return
        if not block:
            return
        yield block


def printed(text: str, *, root: Path) -> list[str]:
    """Return the lines a terminal shows, colours kept and paths of this machine shortened.

    Raises:
        NotDrawn: the text moves the cursor, so it is more than lines.
    """
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    while lines and not _plain(lines[-1]).strip():
        lines.pop()
    for line in lines:
        if _CONTROL.search(_plain(line)):
            raise NotDrawn(f"this line moves the cursor and cannot be drawn: {line!r}")
    return [_FOLDER.sub("/tmp/", line.replace(f"{root}/", "")) for line in lines]  # noqa: S108


def shown(lines: Sequence[str], parts: Sequence[tuple[str, str]] = PARTS) -> list[str]:
    """Return the lines of each part, from its first line to the one behind it, and the last line.

    Each run of lines that is left out becomes one line of dots.

    Raises:
        NotDrawn: no line begins as a part does.
    """
    kept = {len(lines) - 1}
    for begins, behind in parts:
        first = _find(lines, begins, 0)
        kept.update(range(first, _find(lines, behind, first)))
    return list(_with_dots(lines, kept))


def _find(lines: Sequence[str], beginning: str, start: int) -> int:
    for number in range(start, len(lines)):
        if _plain(lines[number]).startswith(beginning):
            return number
    raise NotDrawn(f"the demo prints no line {beginning + '...'!r} any more; change PARTS")


def _with_dots(lines: Sequence[str], kept: set[int]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number in kept:
            yield line
        elif number == 0 or number - 1 in kept:
            yield _DOTS


def _plain(line: str) -> str:
    return _STYLES.sub("", line)


def draw(lines: Sequence[str]) -> str:
    """Return an SVG document of ``lines``: no font, style or image is loaded from elsewhere.

    Raises:
        NotDrawn: a line is wider than ``COLUMNS``.
    """
    with Path(os.devnull).open("w") as nowhere:
        console = Console(file=nowhere, record=True, width=COLUMNS, color_system="truecolor")
        for line in lines:
            if len(text := Text.from_ansi(line)) > COLUMNS:
                raise NotDrawn(f"this line is wider than {COLUMNS} columns: {text.plain!r}")
            console.print(text, highlight=False)
        return console.export_svg(
            title="paidup demo", theme=_THEME, code_format=_FORMAT, unique_id="demo"
        )


_THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [
        (72, 79, 88),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (177, 186, 196),
    ],
    [
        (110, 118, 129),
        (255, 161, 152),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (240, 246, 252),
    ],
)
"""Return the frame: light on dark, so that it is readable on light and dark pages."""

_FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" \
aria-label="What paidup demo prints">
<!-- Written by `make picture` from the output of `paidup demo`. -->
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono",
    "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
  font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""

if __name__ == "__main__":
    main()
