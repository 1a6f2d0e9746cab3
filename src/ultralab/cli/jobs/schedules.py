"""``ultralab jobs schedules``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Group, Request
from ultralab.cli.home import opened
from ultralab.cli.jobs.options import COMMAND, declares, no_daemon, spec_of
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from ultralab.jobs.schedules import Schedule


@click.group(
    "schedules",
    cls=Group,
    help=_("Schedules: jobs that are submitted again and again."),
    examples=(
        "ultralab jobs schedules add nightly --cron '30 2 * * *' -- ./benchmark.sh",
        "ultralab jobs schedules list",
        "ultralab jobs schedules pause nightly",
    ),
)
def schedules() -> None:
    """Schedules."""


def _complete_name(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of schedules, for the shell."""
    from ultralab.app import open_lab
    from ultralab.app.jobs import all_schedules, jobs_folder
    from ultralab.cli.home import home_of
    from ultralab.kernel.errors import UltralabError

    home = home_of(context.find_object(Request) or Request())
    if not jobs_folder(home).is_dir():
        return []
    try:
        found = all_schedules(open_lab(home))
    except UltralabError:
        return []
    return [schedule.name for schedule, _next in found if schedule.name.startswith(incomplete)]


_NAME = click.argument("name", shell_complete=_complete_name)


@schedules.command("list", help=_("List the schedules."), examples=("ultralab jobs schedules list",))
@click.pass_obj
def list_(request: Request) -> None:
    """List the schedules."""
    from ultralab.app.jobs import all_schedules, daemon_runs
    from ultralab.cli.jobs.page import shell_line
    from ultralab.cli.output import show, table

    lab = opened(request)
    found = all_schedules(lab)
    rows = table(_("Schedule"), _("Cron"), _("Catch-up"), _("Next"), _("Command"))
    for schedule, due in found:
        moment = _("paused") if schedule.paused else _minute(due) if due else "–"
        rows.add_row(schedule.name, schedule.cron, schedule.catch_up, moment, shell_line(schedule.spec.argv))

    def draw(out: Console) -> None:
        out.print(rows if found else _("No schedule yet. See: ultralab jobs schedules add --help"))
        if found and not daemon_runs(lab):
            out.print(no_daemon())

    show(request, [_to_data(schedule, due) for schedule, due in found], draw)


@schedules.command(
    "add",
    help=_("Submit COMMAND as a job at every moment that a cron expression names."),
    examples=(
        "ultralab jobs schedules add nightly --cron '30 2 * * *' -- ./benchmark.sh",
        "ultralab jobs schedules add report --cron @weekly --catch-up skip -- make",
    ),
)
@click.argument("name")
@click.option("--cron", required=True, metavar="EXPRESSION", help=_("Minute, hour, day, month, weekday; or @daily."))
@click.option(
    "--catch-up",
    type=click.Choice(["skip", "once", "all"]),
    default="once",
    help=_("What happens with moments that were missed: nothing, one job, or all of them (default: once)."),
)
@declares
@COMMAND
@click.pass_obj
def add(request: Request, /, name: str, cron: str, catch_up: str, command: tuple[str, ...], **given: Any) -> None:
    """Add a schedule."""
    from ultralab.app.jobs import add_schedule, daemon_runs
    from ultralab.cli.output import print_json

    lab = opened(request)
    spec = spec_of(command, name, given, schedule=name)
    added = add_schedule(lab, name, cron, catch_up, spec)
    due = _due(added)
    if request.json:
        print_json(_to_data(added, due))
        return
    moment = _minute(due) if due else "–"
    click.echo(_("Schedule {name}: next at {moment}.").format(name=name, moment=moment))
    if not daemon_runs(lab):
        click.echo(no_daemon())


@schedules.command(
    "remove",
    help=_("Forget the schedule NAME; jobs that it submitted stay."),
    examples=("ultralab jobs schedules remove nightly",),
)
@_NAME
@click.pass_obj
def remove(request: Request, name: str) -> None:
    """Remove a schedule."""
    from ultralab.app.jobs import remove_schedule
    from ultralab.cli.output import print_json

    remove_schedule(opened(request), name)
    if request.json:
        print_json({"removed": name})
    else:
        click.echo(_("Schedule {name} is removed.").format(name=name))


@schedules.command("pause", help=_("Let the schedule NAME rest."), examples=("ultralab jobs schedules pause nightly",))
@_NAME
@click.pass_obj
def pause(request: Request, name: str) -> None:
    """Pause a schedule."""
    _pause(request, name, paused=True)


@schedules.command(
    "resume",
    help=_("Let the schedule NAME go on; what was due meanwhile is passed over."),
    examples=("ultralab jobs schedules resume nightly",),
)
@_NAME
@click.pass_obj
def resume(request: Request, name: str) -> None:
    """Resume a schedule."""
    _pause(request, name, paused=False)


def _pause(request: Request, name: str, *, paused: bool) -> None:
    from ultralab.app.jobs import pause_schedule
    from ultralab.cli.output import print_json

    changed = pause_schedule(opened(request), name, paused=paused)
    due = _due(changed)
    if request.json:
        print_json(_to_data(changed, due))
    elif due is None:
        click.echo(_("Schedule {name} is paused.").format(name=name))
    else:
        click.echo(_("Schedule {name}: next at {moment}.").format(name=name, moment=_minute(due)))


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


def _due(schedule: Schedule) -> datetime | None:
    from ultralab.jobs.scheduling.cron import next_due
    from ultralab.system import clock

    return None if schedule.paused else next_due(schedule.cron, clock.now())


def _to_data(schedule: Schedule, due: datetime | None) -> dict[str, Any]:
    """A schedule as JSON; its job with the keys of a job that was submitted."""
    from ultralab.cli.jobs.views import iso, spec_data

    return {
        "name": schedule.name,
        "cron": schedule.cron,
        "catch_up": schedule.catch_up,
        "paused": schedule.paused,
        "next": due.isoformat(timespec="seconds") if due else None,
        "added": iso(schedule.added),
        "job": spec_data(schedule.spec),
    }
