import xml.etree.ElementTree as ET

from bench.scaling.picture import picture
from bench.scaling.run import ScalingSample


def sample(at: float, *, workers: int = 1, frozen: bool = False) -> ScalingSample:
    return ScalingSample(
        at=at,
        arriving=10 * at,
        backlog=int(at),
        age=at / 10,
        needed=workers + 1,
        workers=workers,
        processes=workers,
        frozen=frozen,
    )


def test_each_number_has_its_line_and_a_freeze_is_shaded() -> None:
    drawn = picture([sample(0), sample(60, workers=3, frozen=True), sample(150, frozen=True)])

    root = ET.fromstring(drawn)  # noqa: S314 - our own text
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert names.count("polyline") == 5
    assert names.count("rect") == 1 + 4
    assert "2 min" in drawn


def test_a_run_without_a_freeze_has_no_shade() -> None:
    assert picture([sample(0), sample(90)]).count("<rect") == 1


def test_steps_are_drawn_as_steps() -> None:
    drawn = picture([sample(0), sample(50), sample(100, workers=2)])

    *_, steps = ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}polyline")  # noqa: S314
    points = [point.split(",") for point in steps.attrib["points"].split()]
    assert len({x for x, _ in points}) == 2
    assert points[1][1] == points[0][1]
