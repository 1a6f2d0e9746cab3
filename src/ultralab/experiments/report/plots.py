"""Three plots as SVG: quality against memory, speed against bits per weight, predicted against measured.

Each plot has one or two panels. As a file it stands alone, in plain colours; inside the HTML report each panel is
its own picture, so that panels stand side by side on a desk and below each other on a phone, and takes the page's
colours and fonts. The same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from ultralab.experiments.report import panels
from ultralab.experiments.report.rows import Row
from ultralab.experiments.report.svg import Names, inline, standalone
from ultralab.experiments.report.wording import Translate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 430
HEIGHT: Final = 300
"""One panel, in SVG user units."""


@dataclass(frozen=True)
class Plot:
    """A drawn plot: its file's name and content, its panels for the page, and what it shows in words."""

    name: str
    title: str
    description: str
    file: str
    inline: tuple[str, ...]


def draw_plots(rows: Sequence[Row], _: Translate) -> tuple[Plot, ...]:
    """Every plot that the rows have figures for."""
    return tuple(
        Plot(
            name=plan.name,
            title=plan.title,
            description=plan.description,
            file=standalone(*_draw(plan.panels, plan.name), title=plan.title),
            inline=tuple(
                inline(*_draw((panel,), f"{plan.name}-{index}"), key=f"{plan.name}-{index}", title=panel.title)
                for index, panel in enumerate(plan.panels)
            ),
        )
        for plan in panels.plans(rows, _)
    )


def _draw(shown: Sequence[panels.Panel], salt: str) -> tuple[str, Names]:
    """Panels side by side as matplotlib's SVG, and the words that its place-holders stand for."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    names = Names()
    style: dict[Any, Any] = {
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "text.parse_math": False,
        "axes.unicode_minus": False,
        "path.simplify": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(WIDTH * len(shown) / 72, HEIGHT / 72), dpi=72)
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        for index, panel in enumerate(shown):
            panel.draw(_axes(figure, index, len(shown), panel), names)
        target = BytesIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return target.getvalue().decode(), names


def _axes(figure: Figure, index: int, count: int, panel: panels.Panel) -> Axes:
    left = panel.left_margin / WIDTH
    return figure.add_axes(
        ((index + left) / count, 46 / HEIGHT, (1 - left - 14 / WIDTH) / count, (HEIGHT - 46 - 40) / HEIGHT)
    )
