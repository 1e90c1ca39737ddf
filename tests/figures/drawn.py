"""What an SVG of a figure shows, and where."""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


class Mark(NamedTuple):
    """Something drawn, with what a screen reader says of it; x and y are the pixels of its middle."""

    said: str
    x: float
    y: float
    fill: str | None
    stroke: str | None
    path: str


class Line(NamedTuple):
    """A straight line, from its left upper end."""

    x: float
    y: float
    length: float
    height: float
    stroke: str | None


class Part:
    """A picture, or one panel of it."""

    def __init__(self) -> None:
        self.texts: list[Mark] = []
        self.marks: dict[str, list[Mark]] = {}

    @property
    def said(self) -> list[str]:
        """All texts, in the order in which they are written."""
        return [text.said for text in self.texts]

    @property
    def ticks(self) -> list[tuple[float, float]]:
        """The labels of a panel's own x axis, as numbers, and where they stand."""
        return [(float(text.said), text.x) for text in self.texts if re.fullmatch(r"\d+(\.\d+)?", text.said)]


class Drawn(Part):
    """An SVG, which must be well-formed and have neither a script nor anything of elsewhere."""

    def __init__(self, svg: bytes) -> None:
        super().__init__()
        root = ElementTree.fromstring(svg)
        assert b"NaN" not in re.sub(rb"base64,[^)]*", b"", svg)
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "style", "g", "rect", "path", "line", "text", "tspan"}, tags
        assert not any(key.endswith(("href", "src")) for element in root.iter() for key in element.attrib)
        self.width, self.height = float(root.attrib["width"]), float(root.attrib["height"])
        self.panels: list[Part] = []
        self.lines: list[Line] = []
        self._read(root, 0, 0, (self,))

    def _read(self, element: ElementTree.Element, x: float, y: float, parts: tuple[Part, ...]) -> None:
        for right, down in re.findall(r"translate\(([-\d.]+),([-\d.]+)\)", element.get("transform", "")):
            x, y = x + float(right), y + float(down)
        if box := re.fullmatch(r"M([-\d.]+),([-\d.]+)h([\d.]+)v([\d.]+)h.*", element.get("d", "")):
            left, top, width, height = map(float, box.groups())
            x, y = x + left + width / 2, y + top + height / 2
        mark = Mark(
            element.get("aria-label", ""), x, y, element.get("fill"), element.get("stroke"), element.get("d", "")
        )
        if element.tag == f"{SVG}line":
            right, down = float(element.get("x2", 0)), float(element.get("y2", 0))
            stroke = element.get("stroke")
            self.lines.append(Line(x + min(right, 0), y + min(down, 0), abs(right), abs(down), stroke))
        if element.tag == f"{SVG}text":
            for part in parts:
                part.texts.append(mark._replace(said="\n".join(element.itertext())))
        if element.get("role") == "graphics-symbol" and mark.said and element.get("opacity") != "0":
            for part in parts:
                part.marks.setdefault(element.get("aria-roledescription", ""), []).append(mark)
        is_facet = "cell" in element.get("class", "").split()
        for child in element:
            if is_facet:
                self.panels.append(Part())
            self._read(child, x, y, (self, self.panels[-1]) if is_facet else parts)


def on_a_line(pairs: list[tuple[float, float]]) -> bool:
    """Whether pixels are where a linear scale puts their values, to a pixel: axes round theirs."""
    (first, here), (last, there) = min(pairs), max(pairs)
    step = (there - here) / (last - first)
    return all(abs(here + (value - first) * step - pixel) < 1.2 for value, pixel in pairs)
