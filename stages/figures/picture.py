"""Pictures of Vega-Lite specs: the same bytes for the same numbers, whoever draws them.

The specs lie beside this file. ``dvc plots`` takes two of them for its templates, overview.json and deciles.json: their placeholders are
those of DVC, and where they speak of ``datum.rev``, a revision, it is for DVC, which colours by revision and nothing else.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stages.outputs import dumps

Records = Sequence[dict[str, Any]]
Format = Literal["svg", "png"]
GRAMMAR = "5.21"
"""Of Vega-Lite; .dvc/plots/offline.html, which draws for DVC, has another 5."""
FOLDER = Path(__file__).parent
FONT = "Glossa Sans"
FACES = {"normal": "sans.ttf", "bold": "sans-bold.ttf"}
"""Letters of Liberation Sans (OFL.txt) under a name that no machine has, so that all lay text out alike, and show it as laid out."""
PAGE = 650
"""Pixels that a figure may be wide, 96 an inch: a page of text has about 7 inches."""
LETTER = 6
"""Pixels that a letter of a label is wide."""
DRAWN = (
    "M-1,-0.6L-0.6,-1L0,-0.4L0.6,-1L1,-0.6L0.4,0L1,0.6L0.6,1L0,0.4L-0.6,1L-1,0.6L-0.4,0Z",
    "M0,-1.2L0.3,-0.3L1.2,0L0.3,0.3L0,1.2L-0.3,0.3L-1.2,0L-0.3,-0.3Z",
    "M-0.9,-1H0.9L-0.9,1H0.9Z",
)
"""Shapes that Vega has not: a saltire, a star, an hourglass. Their number with the others and that of colours have no common
divisor, so 44 series differ."""
SHAPES = (
    "circle",
    "square",
    "diamond",
    "triangle-down",
    "triangle-up",
    "cross",
    "triangle-right",
    "triangle-left",
    *DRAWN,
)
PLACEHOLDER = re.compile("<(?:DVC_METRIC_)?([A-Z_]+)>")
DASHES = ([1, 0], [5, 2], [1.5, 2])


class Palette(NamedTuple):
    """The colours of a figure; the series are told apart by colour-blind readers, and by their shapes."""

    ink: str
    muted: str
    grid: str
    background: str
    series: tuple[str, ...]
    ramp: tuple[str, str]
    """The colours of a cosine at its floor and of 1."""


LIGHT = Palette(
    "#1c1e21", "#61666d", "#e4e4df", "#ffffff", ("#b4490b", "#0069a8", "#007a5a", "#9a4f86"), ("#fbf6f1", "#b4490b")
)
DARK = Palette(
    "#e9e7e2", "#a3a6ab", "#34373c", "#1b1d21", ("#f0a15c", "#6cb6ee", "#4cc4a0", "#dd93c6"), ("#25282d", "#f0a15c")
)


def draw(spec: Mapping[str, Any], kind: Format, palette: Palette) -> bytes:
    """Draws a Vega-Lite spec in the colours of a palette, a PNG with 160 pixels an inch.

    An SVG carries the font that it was laid out with: a browser that lacks it would take another, and clip or overlap what is wider.
    """
    import vl_convert

    _register_font()
    svg = vl_convert.vegalite_to_svg(dumps({**spec, "config": _config(palette)}), vl_version=GRAMMAR)
    if kind == "png":
        return vl_convert.svg_to_png(svg, scale=72 / 96, ppi=160)
    opening, closed, rest = svg.partition(">")
    return f"{opening}{closed}<style>{_font()}</style>{rest}\n".encode()


def filled(name: str, **placeholders: Any) -> dict[str, Any]:
    """Returns a spec of this folder with ``placeholders`` in it, as DVC fills them: ``x`` for ``"<DVC_METRIC_X>"`` or ``"<X>"``."""

    def fill(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: fill(value) for key, value in part.items()}
        if isinstance(part, list):
            return [fill(value) for value in part]
        found = PLACEHOLDER.fullmatch(part) if isinstance(part, str) else None
        return placeholders[found[1].lower()] if found else part

    found: dict[str, Any] = fill(json.loads((FOLDER / name).read_text(encoding="utf-8")))
    return found


def nothing(message: str) -> dict[str, Any]:
    """Returns the spec of a picture that only says why there is nothing to see."""
    mark = {"type": "text", "text": message, "style": "note"}
    return {"data": {"values": [{}]}, "width": 360, "height": 70, "mark": mark}


def series(field: str, names: Iterable[Any], values: Sequence[Any], legend: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the encoding that gives ``names`` the ``values`` in turn, colours, shapes or dashes, and explains them in a legend."""
    domain = list(names)
    scale = {"domain": domain, "range": [values[place % len(values)] for place in range(len(domain))]}
    return {"field": field, "type": "nominal", "scale": scale, "legend": legend}


def legend(labels: Sequence[str]) -> dict[str, Any]:
    """Returns a legend for these labels, with as many columns as a page has room for."""
    return {"title": None, "columns": max(1, PAGE // (30 + LETTER * max(map(len, labels), default=0)))}


def panels(names: Sequence[str], n: int, largest: int, gap: int = 20) -> int:
    """Returns how wide ``n`` panels side by side may be, behind the names of rows, in pixels; ``largest`` at most."""
    return max(90, min(largest, (PAGE - LETTER * max(map(len, names), default=0)) // n - gap))


@cache
def _register_font() -> None:
    import vl_convert

    vl_convert.register_font_directory(str(FOLDER))


@cache
def _font() -> str:
    return "".join(
        f'@font-face{{font-family:"{FONT}";font-weight:{weight};'
        f"src:url(data:font/ttf;base64,{base64.b64encode((FOLDER / name).read_bytes()).decode()})}}"
        for weight, name in FACES.items()
    )


def _config(palette: Palette) -> dict[str, Any]:
    """What specs leave open: colours, fonts and sizes."""
    text = {"labelFontSize": 11, "labelLimit": 0, "labelColor": palette.muted}
    return {
        "background": palette.background,
        "font": f"{FONT}, Liberation Sans, Arial, Helvetica, sans-serif",
        "padding": 8,
        "view": {"stroke": None},
        "axis": {
            **text,
            "domain": False,
            "ticks": False,
            "grid": False,
            "gridColor": palette.grid,
            "titleColor": palette.muted,
            "titleFontSize": 11,
            "titleFontWeight": "normal",
        },
        "axisX": {"domain": True, "domainColor": palette.grid},
        "axisY": {"labelColor": palette.ink},
        "header": {**text, "labelColor": palette.ink, "labelFontSize": 13, "labelFontWeight": "bold"},
        "legend": {
            **text,
            "symbolStrokeColor": palette.muted,
            "symbolSize": 40,
            "symbolLimit": 1000,
            "orient": "bottom",
            "direction": "horizontal",
            "offset": 12,
            "layout": {"bottom": {"direction": "vertical", "anchor": "start", "margin": 3}},
        },
        "range": {"ramp": list(palette.ramp)},
        "style": {
            "chance": {"color": palette.muted, "strokeWidth": 1.2},
            "floor": {"color": palette.muted},
            "note": {"color": palette.muted, "fontSize": 11},
        },
    }
