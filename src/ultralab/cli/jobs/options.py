"""What several commands about jobs share: the job that is meant, what a job declares, what is said of a new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ultralab.cli.frame import Request
from ultralab.cli.home import home_of
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app import Lab
    from ultralab.jobs.types import Job, JobSpec

Function = Callable[..., Any]

_COMPLETED: Final = 200


def size(_context: click.Context, parameter: click.Parameter, value: str) -> int:
    """An option's bytes: ``48G``, ``1.5GiB``, ``1000000``. Raises BadParameter."""
    from ultralab.kernel.units import parse_bytes

    try:
        return parse_bytes(value)
    except ValueError as error:
        problem = _("{value!r} is no size: write 48G, 1.5GiB or 1000000.").format(value=value)
        raise click.BadParameter(problem, param=parameter) from error


def complete_job(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Numbers and names of the newest jobs, for the shell."""
    from ultralab.app import open_lab
    from ultralab.app.jobs import names

    try:
        known = ["last", *names(open_lab(home_of(context.find_object(Request) or Request())), _COMPLETED)]
    except UltralabError:
        known = ["last"]
    return [word for word in dict.fromkeys(known) if word.startswith(incomplete)]


JOB: Final = click.argument("job", shell_complete=complete_job)
JOBS: Final = click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=complete_job)
COMMAND: Final = click.argument("command", nargs=-1, required=True, metavar="COMMAND...", type=click.UNPROCESSED)
# Everything behind the command's first word is the command's own, with or without a `--` before it.
ITS_OWN_WORDS: Final = {"allow_interspersed_args": False}


def declares(function: Function) -> Function:
    """The options that say what a job is and takes; :func:`spec_of` reads them."""
    options = (
        click.option(
            "--kind",
            default="command",
            metavar="KIND",
            help=_("Its kind (default: command); jobs.kinds limits each kind."),
        ),
        click.option(
            "--memory",
            callback=size,
            default="0",
            metavar="SIZE",
            help=_("The memory that it takes, e.g. 48G (default: 0)."),
        ),
        click.option(
            "--gpu",
            type=click.Choice(["none", "shared", "exclusive"]),
            default="none",
            help=_("Whether it takes the GPU, with others or alone (default: none)."),
        ),
        click.option(
            "--disk", callback=size, default="0", metavar="SIZE", help=_("The disk space that it fills (default: 0).")
        ),
        click.option("--network", is_flag=True, help=_("It uses much of the network.")),
        click.option(
            "--priority",
            type=click.IntRange(-10, 10),
            default=0,
            metavar="N",
            help=_("Higher goes first (default: 0)."),
        ),
        click.option(
            "--retry",
            type=click.IntRange(0, 1000),
            default=0,
            metavar="N",
            help=_("Repeat it so often if it fails (default: 0)."),
        ),
        click.option("--idempotent", is_flag=True, help=_("It may run again from the start after an interruption.")),
        click.option("--resumable", is_flag=True, help=_("It goes on where it was when it is run again.")),
        click.option(
            "--timeout", metavar="DURATION", help=_("End it after so long a run, e.g. 2h30m (default: never).")
        ),
        click.option(
            "--cwd",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help=_("The folder that it runs in (default: this one)."),
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def spec_of(command: Sequence[str], name: str | None, given: dict[str, Any], **more: Any) -> JobSpec:
    """The job that the options of :func:`declares` describe. Raises RequestError (one that makes no sense)."""
    from ultralab.jobs.scheduling.when import parse_duration
    from ultralab.jobs.sense import default_name, require_sense
    from ultralab.jobs.types import JobSpec, Needs
    from ultralab.system.environ import user_name

    cwd: Path | None = given["cwd"]
    spec = JobSpec(
        argv=tuple(command),
        cwd=str((cwd or Path()).expanduser().absolute()),
        name=default_name(tuple(command)) if name is None else name,
        kind=given["kind"],
        owner=user_name(),
        priority=given["priority"],
        needs=Needs(given["memory"], given["gpu"], given["disk"], given["network"]),
        retries=given["retry"],
        idempotent=given["idempotent"],
        resumable=given["resumable"],
        timeout=parse_duration(given["timeout"]) if given["timeout"] is not None else None,
        **more,
    )
    require_sense(spec)
    return spec


def announce(request: Request, lab: Lab, job: Job) -> None:
    """Say that a job is in the queue: its number, why it waits, how to follow it. As JSON: the job."""
    from ultralab.app.jobs import daemon_runs, view
    from ultralab.cli.jobs.page import why
    from ultralab.cli.jobs.views import reason_data, to_data
    from ultralab.cli.output import print_json
    from ultralab.kernel.text import printable

    seen = view(lab, str(job.id))
    daemon = daemon_runs(lab)
    if request.json:
        print_json({**to_data(seen.job), "waiting": reason_data(seen.waiting), "daemon": daemon})
        return
    said = why(seen) or _("Runs.")
    follow = _("Follow it: ultralab jobs attach {number}").format(number=job.id)
    name = printable(job.spec.name)
    click.echo(_("Job {number} ({name}): {state} {follow}").format(number=job.id, name=name, state=said, follow=follow))
    if not daemon and (job.spec.night or job.spec.not_before is not None):
        click.echo(no_daemon())


def no_daemon() -> str:
    """What has to be said where something waits for a moment and nobody watches the clock."""
    return _("Nobody watches the clock: delayed and scheduled jobs wait for the daemon. Start it: ultralab serve")
