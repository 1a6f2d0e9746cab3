"""The report as Markdown, after the template for experiment documents; the owner's notes live between its parts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ultralab.experiments.report.content import Content
from ultralab.experiments.report.plots import Plot
from ultralab.experiments.report.provenance import Fact
from ultralab.experiments.report.tables import Cell, Heading, Table
from ultralab.experiments.report.wording import Translate

_SPECIAL = re.compile(r"([\\`*\[\]|~$])")


def parts(content: Content, plots: Sequence[Plot], _: Translate) -> dict[str, str]:
    """The inside of each generated part, by name, in the order of the template; the metadata block is not among them."""
    return {
        "goal": _goal(content, _),
        "method": _titled(2, _("Method"), _list(content.method)),
        "setup": _setup(content, _),
        "results": _results(content, plots, _),
        "conclusions": _conclusions(content, _),
        "next_steps": _titled(2, _("Next steps"), _list(content.next_steps)),
        "references": _references(_),
        "runs": _runs(content, _),
    }


def skeleton(content: Content, sections: dict[str, str], _: Translate) -> str:
    """A new report: fenced parts, and the places where the owner writes."""
    advice = _("Write your own notes between the generated parts: they are kept when the report is drawn again.")
    notes = f"<!-- {advice} -->"
    fenced = [
        f"<!-- ultralab:begin {name} -->\n{text}\n<!-- ultralab:end {name} -->" for name, text in sections.items()
    ]
    metadata = "<!-- ultralab:begin metadata -->\n<!-- ultralab:end metadata -->"
    return "\n\n".join((f"# {heading(content, _)}", metadata, notes, *fenced)) + "\n"


def heading(content: Content, _: Translate) -> str:
    """The document's title, one line of Markdown."""
    return escaped(_("Experiment: {title}").format(title=content.title))


def escaped(text: str) -> str:
    """A foreign text as one line of Markdown that is nothing but this text: no markup, no HTML, no fence."""
    plain = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"^([#+-]|\d+[.)])(?=\s)", r"\\\1", plain)


def _goal(content: Content, _: Translate) -> str:
    lines = [_heading(2, _("Goal")), escaped(content.question or content.title)]
    return "\n\n".join((*lines, _facts((Fact(_("Answer"), content.findings.answer),)).removeprefix("- ")))


def _setup(content: Content, _: Translate) -> str:
    return "\n\n".join(
        (
            _heading(2, _("Setup")),
            _facts((*content.setup, *content.place)),
            _("To repeat it, in this folder:"),
            "```bash\nultralab run experiment.yaml\n```",
            _("To draw this report again from the records:"),
            "```bash\n" + f"ultralab experiments report {_word(content.experiment_id)}" + "\n```",
        )
    )


def _results(content: Content, plots: Sequence[Plot], _: Translate) -> str:
    blocks = [_heading(2, _("Results"))]
    if content.state:
        blocks.append(f"> **{escaped(content.state)}**")
    if content.findings.failures:
        blocks.append(_list(content.findings.failures))
    blocks.append(_table(content.comparison))
    blocks.append(
        _(
            "↑ higher is better, ↓ lower is better, **bold**: no other variant is measurably better. In brackets: the change against the reference."
        )
    )
    for plot in plots:
        blocks += [f"### {plot.title}", f"![{escaped(plot.title)}](plots/{plot.name}.svg)", escaped(plot.description)]
    if content.predictions.lines:
        blocks += [_heading(3, _("Predictions")), _table(content.predictions)]
    return "\n\n".join(blocks)


def _conclusions(content: Content, _: Translate) -> str:
    found = content.findings
    blocks = [_heading(2, _("Conclusions")), escaped(found.answer)]
    if found.tradeoff:
        blocks += [_list(found.tradeoff)]
    if found.points:
        blocks += [_heading(3, _("What else the figures say")), _list(found.points)]
    if found.cautions:
        blocks += [_heading(3, _("What to be careful about")), _list(found.cautions)]
    return "\n\n".join(blocks)


def _references(_: Translate) -> str:
    links = (
        (_("The same report as a page"), "report.html"),
        (_("The experiment file"), "experiment.yaml"),
        (_("The records of the runs"), "runs/"),
    )
    return _titled(2, _("References"), "\n".join(f"- [{text}]({target})" for text, target in links))


def _runs(content: Content, _: Translate) -> str:
    blocks = [_heading(2, _("The runs in detail"))]
    for run in content.runs:
        name = escaped(run.name) + (f" ({run.tag})" if run.tag else "")
        facts = (Fact(_("Problem"), run.problem), *run.facts) if run.problem else run.facts
        blocks += [f"### {name}", _facts(facts)]
    return "\n\n".join(blocks)


def _heading(level: int, text: str) -> str:
    return f"{'#' * level} {text}"


def _titled(level: int, title: str, body: str) -> str:
    return f"{_heading(level, title)}\n\n{body}"


def _facts(facts: Sequence[Fact]) -> str:
    return "\n".join(
        f"- **{escaped(fact.name)}**: {_code(fact.value) if fact.exact else escaped(fact.value)}" for fact in facts
    )


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)


def _table(table: Table) -> str:
    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [row([_column(head) for head in table.headings]), row(["---", *["---:"] * (len(table.headings) - 1)])]
    for line in table.lines:
        name = escaped(line.name) + (f" ({escaped(line.tag)})" if line.tag else "")
        lines.append(row([name, *(_figure(cell) for cell in line.cells)]))
    return "\n".join(lines)


def _column(head: Heading) -> str:
    return escaped(f"{head.text} ({head.note})" if head.note else head.text)


def _figure(cell: Cell) -> str:
    text = escaped(cell.text)
    return (f"**{text}**" if cell.best else text) + (f" ({escaped(cell.note)})" if cell.note else "")


def _code(text: str) -> str:
    """A hash or a reference in fixed-width type; what could break out of it is escaped like any text."""
    return f"`{text}`" if re.fullmatch(r"[\w.:/@+-]+", text) else escaped(text)


def _word(text: str) -> str:
    return re.sub(r"[^\w.-]", "_", text)
