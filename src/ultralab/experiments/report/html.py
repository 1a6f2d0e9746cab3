"""The report as one HTML page: no script, no request to anywhere, light and dark, desk, phone and paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ultralab.experiments.report.content import Content
from ultralab.experiments.report.plots import Plot
from ultralab.experiments.report.wording import Translate

TEMPLATES: Final = Path(__file__).resolve().parent / "templates"
_TAGS: Final = {"en": "en", "zh_CN": "zh-CN"}


def page(content: Content, plots: Sequence[Plot], language: str, _: Translate) -> str:
    """The whole page. Everything that comes from a record is escaped; the template itself holds no words."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    drawn = [
        {
            "name": plot.name,
            "title": plot.title,
            "description": plot.description,
            "panels": [Markup(panel) for panel in plot.inline],  # noqa: S704 - our own SVG, its words escaped in svg.py
        }
        for plot in plots
    ]
    style = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    return environment.get_template("report.html.j2").render(
        content=content, plots=drawn, style=style, words=_words(_), language=_TAGS.get(language, language)
    )


def _words(_: Translate) -> dict[str, str]:
    """The words of the page's own furniture."""
    return {
        "kind": _("Experiment report"),
        "answer": _("Answer"),
        "key_figures": _("Key figures"),
        "comparison": _("The comparison"),
        "comparison_note": _(
            "↑ higher is better, ↓ lower is better, ★ no other variant is measurably better. Small figures: the change against the reference."
        ),
        "scroll": _("Table: scroll sideways on a narrow screen"),
        "tradeoff": _("What each variant costs and saves"),
        "points": _("What else the figures say"),
        "cautions": _("What to be careful about"),
        "failures": _("What did not finish"),
        "method": _("How it was measured"),
        "predictions": _("Predicted against measured"),
        "predictions_note": _(
            "Client against engine: decode speed as the client saw it, over the engine's own timings."
        ),
        "runs": _("The runs in detail"),
        "problem": _("Problem"),
        "next_steps": _("Next steps"),
        "provenance": _("Where it comes from"),
        "metadata": _("Metadata"),
        "setup": _("Setup"),
        "place": _("Machine and versions"),
        "packages": _("Installed packages"),
        "repeat": _("To repeat it, in this folder:"),
        "best": _("best"),
    }
