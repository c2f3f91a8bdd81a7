"""The chart is well-formed, to scale, and hides nothing."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.benchmarks import svg

NAMES = {"svg": "http://www.w3.org/2000/svg"}
GROUPS = {"hello": {"uvicorn": 1.0, "asgi-arbiter": 2.0, "b & c": None}, "POST <1 KB>": {"uvicorn": 1.0, "b & c": 0.5}}
SERVERS = ["uvicorn", "asgi-arbiter", "b & c"]


def bars(text: str) -> list[tuple[str, float, str]]:
    found = []
    for bar in ElementTree.fromstring(text).findall("svg:rect", NAMES):
        title = bar.find("svg:title", NAMES)
        if title is not None and title.text is not None:
            found.append((title.text, float(bar.attrib["width"]), bar.attrib["fill"]))
    return found


def test_a_bar_is_as_long_as_its_ratio() -> None:
    lengths = {hint: length for hint, length, _ in bars(svg.chart("Title", GROUPS, SERVERS, "asgi-arbiter"))}
    assert abs(lengths["asgi-arbiter: 2.00"] - 2 * lengths["uvicorn: 1.00"]) < 0.2
    assert abs(lengths["b & c: 0.50"] - lengths["uvicorn: 1.00"] / 2) < 0.2


def test_a_missing_ratio_has_no_bar_and_the_others_all_have_one() -> None:
    assert len(bars(svg.chart("Title", GROUPS, SERVERS, "asgi-arbiter"))) == 4


def test_ours_has_a_colour_of_its_own() -> None:
    colours = {
        hint.partition(":")[0]: colour for hint, _, colour in bars(svg.chart("T", GROUPS, SERVERS, "asgi-arbiter"))
    }
    assert len(set(colours.values())) == 3


def test_names_are_escaped() -> None:
    root = ElementTree.fromstring(svg.chart("a < b", GROUPS, SERVERS, "asgi-arbiter"))
    texts = [element.text for element in root.findall("svg:text", NAMES)]
    assert "POST <1 KB>" in texts
    assert "a < b" in texts


def test_nothing_to_show_is_an_empty_chart() -> None:
    assert bars(svg.chart("Title", {}, SERVERS, "asgi-arbiter")) == []


def test_a_long_legend_goes_on_in_the_next_line() -> None:
    names = [f"a server with the number {number}" for number in range(7)]
    root = ElementTree.fromstring(svg.chart("Title", {}, names, names[0]))
    places = [element for element in root.findall("svg:text", NAMES) if element.text in names]
    assert len(places) == 7
    assert all(float(place.attrib["x"]) + 6.8 * len(place.text or "") < svg.WIDTH for place in places)
    assert len({place.attrib["y"] for place in places}) == 2 or max(float(p.attrib["y"]) for p in places) < svg.TOP
