"""The static figures: the same bytes for the same numbers, whoever draws them."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = Sequence[dict[str, Any]]
Format = Literal["svg", "png"]
CHANCE = 0.5
NO_VALUE = "\N{EN DASH}"
PANELS_PER_ROW = 3
"""So that a figure is as wide as a page of text, about 7 inches."""
SMALL = 7.5
"""Points of what stands beside; the rest has 8.5."""
MARKERS = "osD^vPX"
DASHES = ("-", "--", ":")


class Palette(NamedTuple):
    """The colours of a figure; the series are told apart by colour-blind readers, and by their markers."""

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


def overview(records: Records, kind: Format, palette: Palette) -> bytes:
    """Draws the score of every coder, one panel per scorer, with its 95 % interval and its floor."""
    return picture(lambda: _overview(records, palette), kind, palette)


def similarity(records: Records, kind: Format, palette: Palette, coders: Sequence[str] | None = None) -> bytes:
    """Draws how alike the explanations of matched latents are, coder by coder, one panel per explainer.

    ``coders`` says in which order, by default that of the records; what the records do not hold is left empty.
    """
    return picture(lambda: _similarity(records, palette, coders), kind, palette)


def picture(draw: Callable[[], Figure], kind: Format, palette: Palette) -> bytes:
    """Returns what ``draw`` makes, in the colours of a palette, without a time or a version in it."""
    metadata: dict[str, Any] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with _style(palette):
        figure = draw()
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=160, bbox_inches="tight", metadata=metadata)
    return buffer.getvalue()


@contextmanager
def _style(palette: Palette) -> Iterator[None]:
    """Our own settings over matplotlib's defaults, whatever the user's matplotlibrc says."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.hashsalt": "glossa",
                "font.size": 8.5,
                "text.color": palette.ink,
                "axes.labelcolor": palette.muted,
                "axes.edgecolor": palette.grid,
                "axes.facecolor": palette.background,
                "figure.facecolor": palette.background,
                "xtick.color": palette.muted,
                "ytick.color": palette.ink,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.spines.left": False,
                "axes.titlesize": 9.5,
                "axes.titlelocation": "left",
                "axes.titleweight": "bold",
                "legend.frameon": False,
            }
        )
        yield


def _overview(records: Records, palette: Palette) -> Figure:
    scorers = _unique(records, "scorer")
    coders, explainers = _unique(records, "coder"), _unique(records, "explainer")
    explainers = [explainer for explainer in explainers if explainer] or [""]
    if not scorers:
        return nothing("No scorers in params.yaml", palette)
    columns = min(PANELS_PER_ROW, len(scorers))
    rows = -(-len(scorers) // columns)
    spacing = 0.22 + 0.14 * (len(explainers) - 1)
    figure = canvas(1.2 + 1.9 * columns, rows * (0.8 + spacing * len(coders)) + 0.4)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    # Scorers whose chance is one half have one scale; others have metrics of their own.
    ends = _ends([record for record in records if record["chance"] == CHANCE])
    for panel, scorer in zip(panels, scorers, strict=False):
        chosen = [record for record in records if record["scorer"] == scorer]
        _score_panel(panel, chosen, coders, explainers, palette)
        heading(panel, scorer, chosen[0]["metric"], palette)
        panel.locator_params(axis="x", nbins=4)
        if chosen[0]["chance"] == CHANCE:
            panel.set_xlim(*ends)
    for panel in panels[len(scorers) :]:
        panel.set_visible(False)
    panels[0].set_yticks(range(len(coders)), coders)
    panels[0].set_ylim(len(coders) - 0.5, -0.5)
    legend(figure, explained(panels), palette)
    return figure


def _score_panel(panel: Axes, records: Records, coders: list[str], explainers: list[str], palette: Palette) -> None:
    panel.grid(axis="x", color=palette.grid, linewidth=0.8)
    if records[0]["chance"] is not None:
        dashes = (0, (3, 2))
        chance = records[0]["chance"]
        panel.axvline(chance, color=palette.muted, linewidth=0.9, linestyle=dashes, zorder=2, label="chance")
    panel.tick_params(length=0, labelbottom=True)
    own = [explainer for explainer in explainers if any(r["explainer"] == explainer for r in records)]
    floor_label: str | None = "floor: another latent's explanation"
    for place, explainer in enumerate(own or [""]):
        # What needs no explanation has the colour of none, and chance for its floor.
        color = palette.series[place % len(palette.series)] if own else palette.ink
        shift = 0.5 * (place - (len(own) - 1) / 2) / len(own) if own else 0.0
        chosen = [r for r in records if r["explainer"] == explainer and r["score"] is not None]
        heights = [coders.index(record["coder"]) + shift for record in chosen]
        floors = [
            (record["floor"], height)
            for record, height in zip(chosen, heights, strict=True)
            if record["floor"] is not None and own
        ]
        panel.plot(
            [floor for floor, _ in floors],
            [height for _, height in floors],
            linestyle="none",
            marker="|",
            markersize=7,
            markeredgewidth=1.3,
            color=palette.muted,
            label=floor_label,
        )
        floor_label = None
        scores = [record["score"] for record in chosen]
        ends = [
            [abs(record["score"] - _or(record[end], record["score"])) for record in chosen] for end in ("low", "high")
        ]
        panel.errorbar(
            scores,
            heights,
            xerr=ends,
            linestyle="none",
            marker=MARKERS[place % len(MARKERS)],
            markersize=4,
            elinewidth=1.4,
            color=color,
            label=f"{explainer or 'without an explanation'}, 95 % interval",
        )


def _similarity(records: Records, palette: Palette, order: Sequence[str] | None) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap

    explainers = _unique(records, "explainer")
    coders = list(order or dict.fromkeys(record[side] for record in records for side in ("a", "b")))
    if not coders:
        return nothing("No two coders were compared", palette)
    compared = {frozenset({record["a"], record["b"]}) for record in records}
    note = "" if len(compared) == len(coders) * (len(coders) - 1) // 2 else "; empty: not compared"
    size = max(2.2, 0.66 * len(coders)) + 0.3
    columns = max(1, min(len(explainers), int(5.8 / size)))
    rows = -(-len(explainers) // columns)
    figure = canvas(1.2 + size * columns, (size + 0.8) * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    ramp = LinearSegmentedColormap.from_list("cosine", palette.ramp)
    for panel, explainer in zip(panels, explainers, strict=False):
        _heatmap(panel, [r for r in records if r["explainer"] == explainer], coders, palette, ramp)
        heading(
            panel,
            explainer,
            f"cosine of matched latents' explanations (floor);\ncolour: from floor to 1{note}",
            palette,
        )
    for panel in panels[len(explainers) :]:
        panel.set_visible(False)
    return figure


def _heatmap(panel: Axes, records: Records, coders: list[str], palette: Palette, ramp: Callable[[float], Any]) -> None:
    from matplotlib.patches import Rectangle

    for record in records:
        first, second = coders.index(record["a"]), coders.index(record["b"])
        cosine, floor = record["explanation_cosine"], record["floor"]
        face = palette.background if cosine is None else ramp(_above(cosine, floor))
        edge = palette.grid if cosine is None else "none"
        for x, y in ((first, second), (second, first)):
            panel.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, facecolor=face, edgecolor=edge))
            if cosine is None:
                panel.text(x, y, NO_VALUE, ha="center", va="center", color=palette.muted)
                continue
            ink = _readable(face, palette)
            panel.text(x, y - 0.02, f"{cosine:.2f}", ha="center", va="bottom", color=ink, fontweight="bold")
            if floor is not None:
                panel.text(x, y + 0.08, f"({floor:.2f})", ha="center", va="top", color=ink, fontsize=7)
    panel.set_xticks(range(len(coders)), coders, rotation=30, ha="right", rotation_mode="anchor", color=palette.ink)
    panel.set_yticks(range(len(coders)), coders)
    panel.set(xlim=(-0.5, len(coders) - 0.5), ylim=(len(coders) - 0.5, -0.5), aspect="equal")
    panel.spines["bottom"].set_visible(False)
    panel.tick_params(length=0)


def _above(cosine: float, floor: float | None) -> float:
    """How much of the way from the floor to 1 a cosine has gone, from 0 to 1; without a floor that is 0."""
    least = 0.0 if floor is None else min(floor, 0.999)
    return min(max((cosine - least) / (1 - least), 0.0), 1.0)


def heading(panel: Axes, title: str, subtitle: str, palette: Palette) -> None:
    """Writes a title above a panel, and below it what is measured."""
    panel.set_title(title, pad=17 + 10 * subtitle.count("\n"))
    panel.annotate(subtitle, (0, 1), (0, 6), "axes fraction", "offset points", color=palette.muted, fontsize=SMALL)


def explained(panels: Iterable[Axes]) -> dict[str, Any]:
    """Returns {label: its handle} of all that has a label in some panel."""
    return {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}


def legend(figure: Figure, handles: dict[str, Any], palette: Palette) -> None:
    """Explains ``handles`` by their labels below the panels, in as many columns as the width has room for."""
    inches = 0.45 + 0.058 * max(map(len, handles), default=0)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=max(1, min(len(handles), int(figure.get_figwidth() / inches))),
        fontsize=SMALL,
        labelcolor=palette.muted,
        columnspacing=1.4,
    )


def canvas(width: float, height: float) -> Figure:
    """Returns an empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def nothing(message: str, palette: Palette) -> Figure:
    """Returns a figure that only says why there is nothing to see."""
    figure = canvas(4, 1)
    figure.text(0.5, 0.5, message, ha="center", va="center", color=palette.muted)
    return figure


def _unique(records: Records, key: str) -> list[str]:
    return list(dict.fromkeys(record[key] for record in records))


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _ends(records: Records) -> tuple[float, float]:
    """A range of whole tenths that holds all of ``records`` and a little more."""
    values = [record[key] for record in records for key in ("score", "low", "high", "floor") if record[key] is not None]
    low, high = min([0.5, *values]), max([0.7, *values])
    return max(0.0, math.floor(low * 10 - 0.5) / 10), min(1.0, math.ceil(high * 10 + 0.5) / 10)


def _readable(face: Any, palette: Palette) -> str:
    """The ink or the background colour, whichever contrasts more with ``face``."""
    return max((palette.ink, palette.background), key=lambda ink: contrast(ink, face))


def contrast(first: Any, second: Any) -> float:
    """The WCAG contrast ratio of two colours, 1 … 21."""
    a, b = sorted((_luminance(first), _luminance(second)))
    return (b + 0.05) / (a + 0.05)


def _luminance(color: Any) -> float:
    from matplotlib.colors import to_rgb

    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
