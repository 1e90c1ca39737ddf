from __future__ import annotations

import base64
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stages.figures import overview as figures
from stages.figures import picture
from stages.figures.picture import DARK, LIGHT, Palette
from tests.figures.drawn import Drawn

HOSTILE = "</svg><script>alert(1)</script><a href='x'>\"&amp;'"
RECORD = {"coder": "a", "explainer": "e", "scorer": "s", "metric": "AUROC", "score": 0.6}
RECORD |= {"low": 0.5, "high": 0.7, "floor": 0.4, "chance": 0.5}


def contrast(first: str, second: str) -> float:
    """The WCAG contrast ratio of two colours, 1 … 21."""
    a, b = sorted((luminance(first), luminance(second)))
    return (b + 0.05) / (a + 0.05)


def luminance(color: str) -> float:
    found = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", color)
    parts = map(int, found.groups()) if found else bytes.fromhex(color[1:])
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in parts)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_colours_can_be_read(palette: Palette) -> None:
    for text in (palette.ink, palette.muted):
        assert contrast(text, palette.background) >= 4.5
    for color in palette.series:
        assert contrast(color, palette.background) >= 3
    for face in palette.ramp:
        assert max(contrast(ink, face) for ink in (palette.ink, palette.background)) >= 4.5
    assert all(a != b for a, b in itertools.combinations(palette.series, 2))


def test_an_svg_carries_the_font_in_which_all_of_its_text_is_laid_out() -> None:
    svg = figures.overview([RECORD], "svg", LIGHT).decode()
    faces = re.findall(
        r'@font-face\{font-family:"([^"]+)";font-weight:(\w+);src:url\(data:font/ttf;base64,([^)]+)\)', svg
    )
    assert [face[:2] for face in faces] == [("Glossa Sans", "normal"), ("Glossa Sans", "bold")]
    for (_, _, content), name in zip(faces, ("sans.ttf", "sans-bold.ttf"), strict=True):
        assert base64.b64decode(content) == (picture.FOLDER / name).read_bytes()
    assert {text.split(",")[0] for text in re.findall(r'font-family="([^"]+)"', svg)} == {"Glossa Sans"}
    assert "LIBERATION" not in "".join(re.findall(r"<text.*?</text>", svg)).upper().replace(
        "LIBERATION SANS, ARIAL", ""
    )


def test_the_font_has_every_letter_that_a_name_may_have_and_that_figures_write() -> None:
    """Another font would be taken for one that it lacks, and which that is depends on the machine."""
    written = "".join(file.read_text(encoding="utf-8") for file in picture.FOLDER.glob("*.json"))
    letters = {*map(chr, range(0x20, 0x7F)), *"\N{MINUS SIGN}\N{EN DASH}\N{HORIZONTAL ELLIPSIS}", *written} - {"\n"}
    for name in picture.FACES.values():
        assert {ord(letter) for letter in letters} <= characters(picture.FOLDER / name)


def characters(file: Path) -> set[int]:
    """What the cmap of a font, in its format 4, knows."""
    font = file.read_bytes()
    number = lambda place, size=2: int.from_bytes(font[place : place + size], "big")  # noqa: E731
    tables = {font[at : at + 4]: number(at + 8, 4) for at in range(12, 12 + 16 * number(4), 16)}
    cmap = tables[b"cmap"]
    offsets = [cmap + number(cmap + 4 + 8 * n + 4, 4) for n in range(number(cmap + 2))]
    start = next(offset for offset in offsets if number(offset) == 4)
    segments = number(start + 6)
    ends = [number(start + 14 + at) for at in range(0, segments, 2)]
    begins = [number(start + 16 + segments + at) for at in range(0, segments, 2)]
    return {code for begin, end in zip(begins, ends, strict=True) for code in range(begin, end + 1)} - {0xFFFF}


def test_another_process_on_another_machine_draws_the_same_bytes(tmp_path: Path) -> None:
    """It has no fonts of its own."""
    (tmp_path / "fonts.conf").write_text(f"<fontconfig><dir>{tmp_path}</dir></fontconfig>")
    code = (
        "import json, sys; from stages.figures import overview, picture; record = json.loads(sys.argv[1]);"
        "[sys.stdout.buffer.write(overview.overview([record], kind, picture.DARK)) for kind in ('svg', 'png')]"
    )
    environment = {
        **os.environ,
        "FONTCONFIG_FILE": str(tmp_path / "fonts.conf"),
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Tokyo",
        "LANG": "de_DE.UTF-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(RECORD)], capture_output=True, check=True, env=environment
    )
    assert done.stdout == b"".join(figures.overview([RECORD], kind, DARK) for kind in ("svg", "png"))


def test_pictures_say_nothing_of_when_or_by_what_they_were_made() -> None:
    svg, png = (figures.overview([RECORD], kind, LIGHT) for kind in ("svg", "png"))
    outside = re.sub(rb"<style>.*?</style>", b"", svg)
    assert not re.search(rb"(?i)date|creator|generator|vl-convert|<!--|<metadata|<desc", outside)
    chunks = re.findall(rb"[A-Za-z]{4}", b"".join(chunk_names(png)))
    assert set(chunks) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


def chunk_names(png: bytes) -> list[bytes]:
    names, place = [], 8
    while place < len(png):
        names.append(png[place + 4 : place + 8])
        place += 12 + int.from_bytes(png[place : place + 4], "big")
    return names


def test_what_people_call_things_is_text_and_never_markup() -> None:
    names = {key: f"{HOSTILE} {key}" for key in ("coder", "explainer", "scorer", "metric")}
    drawn = Drawn(figures.overview([RECORD | names, RECORD | names | {"coder": "<DVC_METRIC_X>"}], "svg", LIGHT))
    assert [name for name in (*names.values(), "<DVC_METRIC_X>") if name not in drawn.said] == [names["explainer"]]
    assert f"{names['explainer']}, 95 % interval" in drawn.said


def test_placeholders_are_filled_as_dvc_does_it() -> None:
    spec = picture.filled("deciles.json", **dict.fromkeys(("data", "title", "x", "x_label", "y", "color"), "?"))
    assert spec["data"] == {"values": "?"}
    assert "DVC" not in json.dumps(spec)
    with pytest.raises(KeyError):
        picture.filled("deciles.json", data=[])
