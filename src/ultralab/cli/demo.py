"""``ultralab demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import DEMO_HOME
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes, format_count

if TYPE_CHECKING:
    from rich.console import Console

    from ultralab.setup.demo import Narrator


@click.command(
    cls=Command,
    help=_(
        "From nothing to a finished experiment: makes a lab in ./demo-lab (or --home), gets a small language model,"
        " quantizes it, measures every variant and writes a report. Takes a minute or two; can be repeated."
    ),
    examples=("ultralab demo", "ultralab demo --home ~/labs/demo --lang zh_CN"),
)
@click.pass_obj
def demo(request: Request) -> None:
    """Run the demo."""
    from ultralab.cli.experiments import to_data
    from ultralab.cli.output import console, show
    from ultralab.cli.progress import progress_for
    from ultralab.cli.results import draw_next, draw_result
    from ultralab.setup.demo import run_demo

    home = (request.home or DEMO_HOME).expanduser().absolute()
    quiet = request.quiet or request.json
    out = console()
    result = run_demo(home, progress_for(request), _silent() if quiet else _narrator(out))

    def draw(screen: Console) -> None:
        if not quiet:
            _chapter(screen, 6, _("What came out"))
        draw_result(screen, result)
        draw_next(screen, home)

    show(request, to_data(result), draw)


def _chapter(out: Console, number: int, title: str) -> None:
    out.print()
    out.print(f"{number}  {title}", style="bold")


def _narrator(out: Console) -> Narrator:
    from ultralab.cli.machine import machine_rows
    from ultralab.cli.output import pairs
    from ultralab.cli.results import draw_expected
    from ultralab.setup.demo import Narrator

    def opened(done: object) -> None:
        from ultralab.setup.tree import Created

        assert isinstance(done, Created)
        out.print(_("What do you gain and lose when you quantize a language model? Let us measure it."))
        _chapter(out, 1, _("The lab"))
        out.print(_("One folder holds everything: readable documents in git, model bytes beside them in store/."))
        out.print(f"  {done.home}", style="dim", soft_wrap=True)
        if done.warning:
            out.print(f"  {done.warning}", style="yellow", soft_wrap=True)
        _chapter(out, 2, _("The machine"))
        out.print(_("What fits and how fast it will be follows from these figures."))

    def machine(found: object) -> None:
        from ultralab.machine import Machine

        assert isinstance(found, Machine)
        out.print(pairs([(f"  {name}", value) for name, value in machine_rows(found)]))
        _chapter(out, 3, _("The model"))
        out.print(
            _(
                "SmolLM2-135M-Instruct: small, but a real language model. It comes from the Python package index;"
                " its bytes are checked against their SHA-256 before they enter the library."
            )
        )

    def model(record: object) -> None:
        from ultralab.models import ModelRecord

        assert isinstance(record, ModelRecord)
        file = record.files[0]
        out.print(
            f"  {record.ref}  {format_bytes(file.size)}  {format_count(record.parameters)}"
            f"  {record.quantization}\n  SHA-256 {file.sha256}",
            style="dim",
            soft_wrap=True,
        )

    def running(_spec: Path) -> None:
        _chapter(out, 4, _("The prediction"))
        out.print(_("Before anything is made or loaded, the planner says what each variant will need and do."))

    def expected(rows: object) -> None:
        draw_expected(out, rows)  # type: ignore[arg-type]
        _chapter(out, 5, _("The experiment"))
        out.print(
            _(
                "Each variant is quantized, loaded into an engine process of its own, timed, weighed, and asked how"
                " much a text surprises it. The model came as Q4_1; more bits cannot give back what that had lost."
            )
        )

    return Narrator(opened=opened, machine=machine, model=model, expected=expected, running=running)


def _silent() -> Narrator:
    from ultralab.setup.demo import Narrator

    def nothing(_value: object) -> None:
        return None

    return Narrator(opened=nothing, machine=nothing, model=nothing, expected=nothing, running=nothing)
