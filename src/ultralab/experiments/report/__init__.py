"""The report of an experiment: Markdown, one self-contained page, plots. Drawn from the records alone, any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ultralab.experiments.report import html, markdown, tables
from ultralab.experiments.report.content import compose
from ultralab.experiments.report.plots import Plot, draw_plots
from ultralab.experiments.report.rows import Row, comparison_rows
from ultralab.experiments.report.scores import Positions, read_scores
from ultralab.experiments.report.tables import Table
from ultralab.experiments.report.wording import Translate
from ultralab.experiments.types import ExperimentRecord, RunRecord
from ultralab.kernel.language import translation
from ultralab.pages import Metadata, write_page
from ultralab.system import files

__all__ = [
    "Drawn",
    "Row",
    "Table",
    "Written",
    "comparison_rows",
    "comparison_table",
    "draw",
    "read_scores",
    "write_report",
]


@dataclass(frozen=True)
class Written:
    """The files of a report."""

    markdown: Path
    html: Path
    plots: tuple[Path, ...]


@dataclass(frozen=True)
class Drawn:
    """A report as texts: the HTML page, the Markdown document as it would be new, its metadata, the plots."""

    page: str
    document: str
    metadata: Metadata
    plots: tuple[Plot, ...]


def comparison_table(runs: Sequence[RunRecord], language: str) -> Table:
    """The comparison of runs as text ready to show, in a terminal for example."""
    return tables.comparison(comparison_rows(runs), translation(language).gettext)


def write_report(folder: Path, experiment: ExperimentRecord, runs: Sequence[RunRecord], language: str) -> Written:
    """Write ``report.md``, ``report.html`` and ``plots/*.svg`` into a capsule; each file whole or not at all.

    The same records give the same bytes. What the owner wrote into ``report.md`` between its generated parts is
    kept. Raises InvalidSpec (its fences were damaged), FileAccess, DiskFull.
    """
    drawn = draw(experiment, runs, read_scores(folder, runs), language, translation(language).gettext)
    plots = []
    for plot in drawn.plots:
        plots.append(folder / "plots" / f"{plot.name}.svg")
        files.write(plots[-1], plot.file)
    page, document = folder / "report.html", folder / "report.md"
    files.write(page, drawn.page)
    write_page(document, drawn.document, drawn.metadata, language)
    return Written(document, page, tuple(plots))


def draw(
    experiment: ExperimentRecord,
    runs: Sequence[RunRecord],
    scores: Mapping[str, Positions],
    language: str,
    _: Translate,
) -> Drawn:
    """The report as texts, in the words of ``_``; nothing is written. Pure, but for matplotlib's font cache."""
    rows = comparison_rows(runs, scores)
    content = compose(experiment, runs, rows, _)
    plots = draw_plots(rows, _)
    date, author, version = (markdown.escaped(fact.value) for fact in content.origin)
    extra = tuple((fact.name, markdown.escaped(fact.value)) for fact in content.labels)
    return Drawn(
        page=html.page(content, plots, language, _),
        document=markdown.skeleton(content, markdown.parts(content, plots, _), _),
        metadata=Metadata(markdown.heading(content, _), date, author, version, extra),
        plots=plots,
    )
