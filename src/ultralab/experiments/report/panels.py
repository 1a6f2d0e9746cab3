"""What each panel of a plot shows, drawn on matplotlib axes with place-holders for words and colours (see ``svg``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ultralab.experiments.report.figures import number
from ultralab.experiments.report.placing import Box, place, text_width
from ultralab.experiments.report.rows import Row, finished
from ultralab.experiments.report.svg import BACKGROUND, BAND, GRID, INK, MAIN, MUTED, REFERENCE, Names
from ultralab.experiments.report.wording import Translate
from ultralab.kernel.text import shorten
from ultralab.kernel.units import MIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT = 11.5
_SMALL = 11
_NAME_COLUMNS = 20


@dataclass(frozen=True)
class Panel:
    """One pair of axes: its title, and how it is drawn on them."""

    title: str
    draw: Callable[[Axes, Names], None]
    left_margin: float = 44


@dataclass(frozen=True)
class Plan:
    """One plot to draw."""

    name: str
    title: str
    description: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Point:
    """A run in a scatter: its place, the range of its y, its name."""

    label: str
    reference: bool
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """A prediction with its band, beside what was measured and its range."""

    label: str
    reference: bool
    predicted: float
    low: float
    high: float
    measured: float
    measured_low: float
    measured_high: float


def plans(rows: Sequence[Row], _: Translate) -> tuple[Plan, ...]:
    """The plots that the rows have figures for."""
    if not finished(rows):
        return ()
    found = [_quality(rows, _), _speed(rows, _), _prediction(rows, _)]
    return tuple(plan for plan in found if plan.panels)


def _quality(rows: Sequence[Row], _: Translate) -> Plan:
    memory = _("memory in use, MiB  (← less is better)")
    perplexity = [
        _point(row, measured.memory_bytes / MIB, row.perplexity)
        for row, measured in finished(rows)
        if row.perplexity is not None
    ]
    agreement = [
        _point(row, measured.memory_bytes / MIB, 100 * row.agreement)
        for row, measured in finished(rows)
        if row.agreement is not None
    ]
    shown = []
    if perplexity:
        title = _("perplexity of the text  (↓ lower is better)")
        shown.append(Panel(title, partial(_scatter, points=perplexity, title=title, x_title=memory)))
    if len(agreement) > 1:
        title = _("same favourite token as the reference, %  (↑ higher is better)")
        shown.append(Panel(title, partial(_scatter, points=agreement, title=title, x_title=memory, ceiling=100)))
    description = _("Each point is one variant: how much memory it needs, and how well it predicts the text.")
    return Plan("quality", _("Quality against memory"), description, tuple(shown))


def _speed(rows: Sequence[Row], _: Translate) -> Plan:
    bits = _("bits per weight")
    shown = []
    for title, name in (
        (_("decode, tok/s  (↑ higher is better)"), "decode_tok_s"),
        (_("prefill, tok/s  (↑ higher is better)"), "prefill_tok_s"),
    ):
        points = [
            Point(row.label, row.run.reference, row.run.bits_per_weight, spread.median, spread.low, spread.high)
            for row, measured in finished(rows)
            for spread in (getattr(measured, name),)
        ]
        shown.append(Panel(title, partial(_scatter, points=points, title=title, x_title=bits)))
    description = _("Points are medians, lines the range of the repeats.")
    return Plan("speed", _("Speed against bits per weight"), description, tuple(shown))


def _prediction(rows: Sequence[Row], _: Translate) -> Plan:
    memory, decode = [], []
    for row, measured in finished(rows):
        expected = row.run.expected
        if expected is None:
            continue
        here, held = expected.memory_bytes / MIB, measured.memory_bytes / MIB
        band = here * expected.memory_error_band
        memory.append(Pair(row.label, row.run.reference, here, here - band, here + band, held, held, held))
        speed = measured.decode_tok_s
        decode.append(
            Pair(
                row.label,
                row.run.reference,
                expected.decode_tok_s,
                expected.decode_low,
                expected.decode_high,
                speed.median,
                speed.low,
                speed.high,
            )
        )
    margin = 18 + max((text_width(_short(pair.label), _FONT) for pair in memory), default=0)
    words = (_("predicted"), _("measured"))
    shown = tuple(
        Panel(title, partial(_pairs, pairs=pairs, title=title, words=words), margin)
        for title, pairs in ((_("memory in use, MiB"), memory), (_("decode, tok/s"), decode))
        if pairs
    )
    description = _("The bar is the band that was predicted, the tick its middle; the dot is what was then measured.")
    return Plan("prediction", _("Predicted against measured"), description, shown)


def _point(row: Row, x: float, y: float) -> Point:
    return Point(row.label, row.run.reference, x, y, y, y)


def _scatter(
    axes: Axes, names: Names, *, points: Sequence[Point], title: str, x_title: str, ceiling: float = math.inf
) -> None:
    _frame(axes, names, title, x_title)
    axes.set_xlim(*_limits([point.x for point in points], 0.21))
    axes.set_ylim(*_limits([value for point in points for value in (point.low, point.high)], 0.2, ceiling))
    _ticks(axes)
    for point in points:
        colour = REFERENCE if point.reference else MAIN
        if point.high > point.low:
            axes.plot([point.x, point.x], [point.low, point.high], color=colour, linewidth=1.4, alpha=0.55, zorder=3)
        axes.plot(
            [point.x], [point.y], marker="D" if point.reference else "o", markersize=7.5 if point.reference else 8.5,
            markerfacecolor=colour, markeredgecolor=BACKGROUND, markeredgewidth=1.2, linestyle="none", zorder=4,
        )  # fmt: skip
    _label_points(axes, names, points)


def _label_points(axes: Axes, names: Names, points: Sequence[Point]) -> None:
    """The name beside each point. Display units are SVG units: the figure has 72 dots per inch."""
    at = [_on_screen(axes, point.x, point.y) for point in points]
    lines = [
        Box(x - 2, _on_screen(axes, point.x, point.low)[1], x + 2, _on_screen(axes, point.x, point.high)[1])
        for point, (x, _y) in zip(points, at, strict=True)
    ]
    frame = Box(axes.bbox.x0, axes.bbox.y0, axes.bbox.x1, axes.bbox.y1)
    placed = place(at, [_short(point.label) for point in points], frame, _FONT, lines)
    for point, spot in zip(points, placed, strict=True):
        x, y = axes.transData.inverted().transform((spot.x, spot.y))
        axes.text(
            x,
            y,
            names(_short(point.label)),
            ha=spot.align,
            va="center_baseline",
            fontsize=_FONT,
            color=REFERENCE if point.reference else INK,
            fontweight="bold" if point.reference else "normal",
            zorder=5,
        )


def _on_screen(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)


def _pairs(axes: Axes, names: Names, *, pairs: Sequence[Pair], title: str, words: tuple[str, str]) -> None:
    _frame(axes, names, "", title)
    values = [v for p in pairs for v in (p.low, p.high, p.measured_low, p.measured_high)]
    axes.set_xlim(*_limits(values, 0.08))
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.set_yticks(range(len(pairs)), [names(_short(pair.label)) for pair in pairs])
    axes.grid(visible=False, axis="y")
    _ticks(axes, vertical=False)
    for row, pair in enumerate(pairs):
        axes.barh(row, pair.high - pair.low, left=pair.low, height=0.36, color=BAND, zorder=2)
        axes.plot([pair.predicted] * 2, [row - 0.26, row + 0.26], color=MUTED, linewidth=1.6, zorder=3)
        colour = REFERENCE if pair.reference else MAIN
        axes.plot([pair.measured_low, pair.measured_high], [row, row], color=colour, linewidth=1.6, zorder=4)
        axes.plot(
            [pair.measured], [row], marker="D" if pair.reference else "o", markersize=7 if pair.reference else 8,
            markerfacecolor=colour, markeredgecolor=BACKGROUND, markeredgewidth=1.2, linestyle="none", zorder=5,
        )  # fmt: skip
    _key(axes, names, words)


def _key(axes: Axes, names: Names, words: tuple[str, str]) -> None:
    """The two signs above the panel: a band with its tick, a dot."""
    from matplotlib.transforms import blended_transform_factory, offset_copy

    base = offset_copy(axes.transAxes, fig=axes.get_figure(root=True), y=17, units="points")
    width = axes.bbox.width
    second = (26 + text_width(words[0], _SMALL) + 12) / width
    across = blended_transform_factory(base, base)
    axes.plot([0, 20 / width], [1, 1], transform=across, color=BAND, linewidth=8, solid_capstyle="butt", clip_on=False)
    axes.plot([10 / width] * 2, [0.975, 1.025], transform=across, color=MUTED, linewidth=1.6, clip_on=False)
    axes.plot(
        [second], [1], transform=across, marker="o", markersize=7, markerfacecolor=MAIN, linestyle="none",
        markeredgecolor=BACKGROUND, markeredgewidth=1.2, clip_on=False,
    )  # fmt: skip
    for x, word in ((26 / width, words[0]), (second + 8 / width, words[1])):
        axes.text(x, 1, names(word), transform=across, ha="left", va="center_baseline", fontsize=_SMALL, color=MUTED)


def _frame(axes: Axes, names: Names, title: str, x_title: str) -> None:
    """Thin grid, no box, the name of the upright axis written level above it."""
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.grid(visible=True, color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=MUTED, labelsize=_SMALL, pad=6)
    axes.set_xlabel(names(x_title), color=MUTED, fontsize=_SMALL, labelpad=7)
    if title:
        axes.annotate(
            names(title), (0, 1), (-26, 18), xycoords="axes fraction", textcoords="offset points", color=MUTED,
            fontsize=_SMALL, ha="left", va="center_baseline", annotation_clip=False,
        )  # fmt: skip


def _ticks(axes: Axes, *, vertical: bool = True) -> None:
    """Few, round ticks, written as the tables write figures."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in (axes.xaxis, axes.yaxis) if vertical else (axes.xaxis,):
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _position: _tick(value)))
    if not vertical:
        axes.tick_params(axis="y", colors=INK, labelsize=_FONT)


def _tick(value: float) -> str:
    return number(value) if abs(value) >= 1e6 else f"{value:.6g}"


def _limits(values: Sequence[float], room: float, ceiling: float = math.inf) -> tuple[float, float]:
    """The range of the values with room on both sides; never so narrow that a difference of nothing looks like one.

    At least a twentieth of the largest value is shown; beyond ``ceiling`` only room for the mark itself.
    """
    low, high = min(values), max(values)
    span = max(high - low, 0.05 * abs(high)) or 1.0
    middle, half = (low + high) / 2, (0.5 + room) * span
    return middle - half, min(middle + half, ceiling + 0.07 * span)


def _short(label: str) -> str:
    return shorten(label, _NAME_COLUMNS)
