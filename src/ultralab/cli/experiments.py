"""``ultralab experiments`` and ``ultralab run``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.detach import Ahead, detachable
from ultralab.cli.frame import Command, Group, Request
from ultralab.cli.home import home_of, opened
from ultralab.kernel.language import N_, _, current_language

if TYPE_CHECKING:
    from rich.console import Console

    from ultralab.app import Lab
    from ultralab.experiments.bench import Result

_STATUS = {
    "created": N_("not started"),
    "running": N_("running"),
    "finished": N_("finished"),
    "failed": N_("failed"),
    "interrupted": N_("interrupted"),
}


@click.group(
    cls=Group,
    help=_("Experiments: a file says what to measure; runs, records and a report come out."),
    examples=(
        "ultralab experiments template",
        "ultralab experiments run quantization_tradeoff.yaml",
        "ultralab experiments report last",
    ),
)
def experiments() -> None:
    """Experiments."""


def _complete_id(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Experiment ids, for the shell."""
    from ultralab.experiments.capsule import capsules

    known = ["last", *(folder.name for folder in capsules(home_of(context.find_object(Request) or Request())))]
    return [name for name in known if name.startswith(incomplete)]


_FILE = click.argument("file", type=click.Path(path_type=Path))
_REFERENCE = click.argument("experiment", default="last", shell_complete=_complete_id)
_RUN_HELP = _("Run the experiment FILE in the lab: measure, record, track, report.")


def _run(request: Request, file: Path) -> None:
    from ultralab.app.experiments import run as run_experiment
    from ultralab.cli.output import console, show
    from ultralab.cli.progress import progress_for
    from ultralab.cli.results import draw_expected, draw_result

    progress = progress_for(request)
    quiet = request.quiet or request.json
    result = run_experiment(
        opened(request),
        file.expanduser(),
        progress,
        (lambda _expected: None) if quiet else (lambda expected: draw_expected(console(), expected)),
    )
    show(request, to_data(result), lambda out: draw_result(out, result))


def _ahead(lab: Lab, file: Path) -> Ahead:
    """What an experiment file says before it runs; the job gets a copy of it. Raises what reading it raises."""
    from ultralab.app.experiments import load, memory_needed, snapshot

    found = load(lab, file.expanduser())
    memory = memory_needed(lab, found)
    copy = snapshot(lab, found)
    return Ahead(found.spec.experiment, memory=memory, cwd=found.path.absolute().parent, instead={"file": copy})


_DETACHABLE = detachable("experiment", _ahead)


@experiments.command(
    "run",
    help=_RUN_HELP,
    examples=(
        "ultralab experiments run quantization_tradeoff.yaml",
        "ultralab experiments run quantization_tradeoff.yaml --detach",
    ),
)
@_FILE
@_DETACHABLE
@click.pass_obj
def run_(request: Request, file: Path) -> None:
    """Run an experiment."""
    _run(request, file)


@click.command(
    "run",
    cls=Command,
    help=_RUN_HELP,
    examples=("ultralab run quantization_tradeoff.yaml", "ultralab run quantization_tradeoff.yaml --detach"),
)
@_FILE
@_DETACHABLE
@click.pass_obj
def run(request: Request, file: Path) -> None:
    """Run an experiment."""
    _run(request, file)


@experiments.command(
    "template",
    help=_("Copy a complete, commented experiment file and its text into FOLDER (default: here) to start from."),
    examples=("ultralab experiments template", "ultralab experiments template ~/my-experiments"),
)
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@click.pass_obj
def template(request: Request, folder: Path) -> None:
    """Copy the shipped example."""
    from ultralab.cli.output import show
    from ultralab.setup.examples import SHIPPED, copy_examples

    written = copy_examples(folder.expanduser(), current_language())
    data = {"written": [str(path) for path in written], "kept": len(SHIPPED) - len(written)}

    def draw(out: Console) -> None:
        for path in written:
            out.print(str(path), soft_wrap=True)
        if not written:
            out.print(_("Nothing to do: the example is there already."))

    show(request, data, draw)


@experiments.command(
    "list", help=_("List the experiments of the lab, newest last."), examples=("ultralab experiments list",)
)
@click.pass_obj
def list_(request: Request) -> None:
    """List the experiments."""
    from ultralab.cli.output import show, table
    from ultralab.experiments import capsule
    from ultralab.kernel.errors import UltralabError

    lab = opened(request)
    found = []
    for folder in capsule.capsules(lab.home):
        try:
            found.append(capsule.read_experiment(folder))
        except UltralabError as problem:
            click.echo(_("Warning: {message}").format(message=problem.message), err=True)
    rows = table(_("Experiment"), _("Kind"), _("Status"), _("Runs"), numbers=(3,))
    for record in found:
        rows.add_row(record.id, record.kind, _(_STATUS[record.status]), str(len(record.runs)))

    def draw(out: Console) -> None:
        out.print(rows if found else _("No experiment yet. Run one: ultralab experiments run FILE.yaml"))

    show(request, [capsule.as_json(record) for record in found], draw)


@experiments.command(
    "show",
    help=_("Show what EXPERIMENT measured (an id, a unique beginning of one, a kind, or 'last')."),
    examples=("ultralab experiments show last",),
)
@_REFERENCE
@click.pass_obj
def show_(request: Request, experiment: str) -> None:
    """Show an experiment."""
    from rich.text import Text

    from ultralab.cli.output import show
    from ultralab.cli.results import draw_comparison
    from ultralab.experiments import capsule

    lab = opened(request)
    folder = capsule.find_capsule(lab.home, experiment)
    record = capsule.read_experiment(folder)
    runs = capsule.read_runs(folder, record)
    data = {
        "folder": str(folder),
        "experiment": capsule.as_json(record),
        "runs": [capsule.as_json(one) for one in runs],
    }

    def draw(out: Console) -> None:
        out.print(Text.assemble((record.title, "bold"), f"  {record.id}  {_(_STATUS[record.status])}"))
        draw_comparison(out, folder, runs)
        out.print(str(folder), soft_wrap=True, style="dim")

    show(request, data, draw)


@experiments.command(
    "report",
    help=_("Write EXPERIMENT's report anew from its records (default: the last one) and say where it is."),
    examples=("ultralab experiments report", "ultralab experiments report 20261123_041507_k3f9 --lang zh_CN"),
)
@_REFERENCE
@click.pass_obj
def report(request: Request, experiment: str) -> None:
    """Write a report anew."""
    from ultralab.app.reports import rewrite_report
    from ultralab.cli.output import show

    written = rewrite_report(opened(request), experiment)
    data = {
        "markdown": str(written.markdown),
        "html": str(written.html),
        "plots": [str(path) for path in written.plots],
    }

    def draw(out: Console) -> None:
        for path in (written.markdown, written.html):
            out.print(str(path), soft_wrap=True)

    show(request, data, draw)


def to_data(result: Result) -> dict[str, Any]:
    """A finished experiment as JSON."""
    from ultralab.experiments import capsule

    paths: Sequence[tuple[str, Path]] = (
        ("folder", result.folder),
        ("markdown", result.markdown),
        ("html", result.html),
    )
    return {
        "experiment": capsule.as_json(result.experiment),
        "runs": [capsule.as_json(one) for one in result.runs],
        **{name: str(path) for name, path in paths},
        "warnings": list(result.warnings),
    }
