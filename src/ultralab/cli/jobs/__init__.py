"""``ultralab jobs``. Each command is in a module of its own, imported when it is used."""

from __future__ import annotations

from typing import Any, Final

import click

from ultralab.cli.frame import Group, Request
from ultralab.cli.home import home_of
from ultralab.kernel.language import N_, _

_COMMANDS: Final = {
    "submit": ("ultralab.cli.jobs.submit:submit", N_("Put a command into the queue.")),
    "list": ("ultralab.cli.jobs.listing:list_", N_("List the jobs that wait or run, and the last ones that ended.")),
    "show": ("ultralab.cli.jobs.listing:show_", N_("Why a job waits, its attempts, its progress.")),
    "logs": ("ultralab.cli.jobs.logs:logs", N_("Print what a job printed, byte for byte.")),
    "attach": ("ultralab.cli.jobs.logs:attach", N_("Follow a job until it is over and exit with its status.")),
    "cancel": ("ultralab.cli.jobs.changes:cancel", N_("Take jobs from the queue, or end them.")),
    "hold": ("ultralab.cli.jobs.changes:hold", N_("Keep queued jobs from starting.")),
    "release": ("ultralab.cli.jobs.changes:release", N_("Let held jobs go on.")),
    "retry": ("ultralab.cli.jobs.changes:retry", N_("Queue jobs again that are over.")),
    "schedules": ("ultralab.cli.jobs.schedules:schedules", N_("Jobs that are submitted again and again.")),
    "prune": ("ultralab.cli.jobs.changes:prune", N_("Remove jobs that ended long ago.")),
    "rebuild": ("ultralab.cli.jobs.changes:rebuild", N_("Make the queue's database anew from the jobs' folders.")),
}


class _Jobs(Group):
    """The group, with one command that no list shows: ``submit`` starts it where no daemon runs. Whatever is asked, what
    had to be mended in the queue is said.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        finally:
            _tell_notice(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "drain":
            from ultralab.cli.jobs.changes import drain

            return drain
        return super().get_command(ctx, cmd_name)


def _tell_notice(context: click.Context) -> None:
    from ultralab.app.jobs import notice

    if context.invoked_subcommand == "drain":  # nobody hears it
        return
    if mended := notice(home_of(context.ensure_object(Request))):
        click.echo(_("Warning: {message}").format(message=mended), err=True)


@click.group(
    cls=_Jobs,
    entries=_COMMANDS,
    help=_("Jobs: commands that go on when the terminal, the connection or the daemon is gone."),
    examples=(
        "ultralab jobs submit --memory 48G --when night -- python train.py",
        "ultralab jobs list",
        "ultralab jobs attach last",
    ),
)
def jobs() -> None:
    """Jobs."""
