"""``ultralab models verify``, ``remove``, ``prune`` and ``reindex``: what keeps the library in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.detach import Ahead, detachable
from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.models.names import complete_ref
from ultralab.kernel.errors import FileDamaged, RequestError
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes

if TYPE_CHECKING:
    from ultralab.app import Lab
    from ultralab.models.pruning.cleaning import Act
    from ultralab.models.pruning.proposals import Proposal


def _ahead_of_verify(lab: Lab, model: str | None) -> Ahead:
    """Reading may begin anew at any time, and needs nothing else."""
    from ultralab.models import find

    if model is not None:
        find(lab.library, model)
    return Ahead(f"verify {model or ''}".strip(), gpu="none", resumable=True)


@click.command(
    "verify",
    cls=Command,
    help=_("Read every byte of MODEL again (default: of all models) and compare it with its SHA-256."),
    examples=(
        "ultralab models verify",
        "ultralab models verify smollm2-135m-instruct:q4_1",
        "ultralab models verify --detach",
    ),
)
@click.argument("model", required=False, shell_complete=complete_ref)
@detachable("verify", _ahead_of_verify)
@click.pass_obj
def verify(request: Request, model: str | None) -> None:
    """Check the bytes."""
    from ultralab.app import model_storage
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for

    verdicts = model_storage.verify(opened(request), model, progress_for(request))

    bad = [problem for verdict in verdicts for problem in verdict.problems]

    def draw(console: Any) -> None:
        for verdict in verdicts:
            if not verdict.problems:
                console.print(_("{ref}: every byte is as it was recorded.").format(ref=verdict.ref), soft_wrap=True)
            for problem in verdict.problems if len(bad) > 1 else ():
                console.print(f"{verdict.ref}: {problem.message} {problem.hint}".rstrip(), soft_wrap=True)

    data = [
        {
            "ref": verdict.ref,
            "whole": not verdict.problems,
            "problems": [{"message": problem.message, "hint": problem.hint} for problem in verdict.problems],
        }
        for verdict in verdicts
    ]
    show(request, data, draw)
    if bad and request.json:
        raise SystemExit(1)
    if len(bad) == 1:
        raise FileDamaged(bad[0].message, hint=bad[0].hint, **bad[0].data)
    if bad:
        raise FileDamaged(
            _("{count} files are damaged or missing.").format(count=len(bad)), hint=_("What to do stands beside each.")
        )


@click.command(
    "remove",
    cls=Command,
    help=_("Take MODEL out of the library. Its bytes go when no other model uses them; its page and your notes stay."),
    examples=("ultralab models remove smollm2-135m-instruct:q8_0", "ultralab models remove old-model:q4_0 --yes"),
)
@click.argument("model", shell_complete=complete_ref)
@click.option("--yes", is_flag=True, help=_("Do not ask."))
@click.pass_obj
def remove(request: Request, model: str, yes: bool) -> None:
    """Remove a model."""
    from ultralab.app import model_storage
    from ultralab.cli.models.views import to_data
    from ultralab.cli.output import show
    from ultralab.models import find

    lab = opened(request)
    record = find(lab.library, model)
    question = _("Remove {ref} ({size})?").format(ref=record.ref, size=format_bytes(record.size))
    _require_yes(request, question, yes)
    removed = model_storage.remove(lab, record.ref)

    def draw(console: Any) -> None:
        said = _("{ref} is no longer in the library; {size} were freed.")
        console.print(said.format(ref=record.ref, size=format_bytes(removed.freed)), soft_wrap=True)
        for line in (*removed.stays, _("To get it back: {back}").format(back=removed.back)):
            console.print(line, soft_wrap=True)

    data = {**to_data(record), "freed": removed.freed, "back": removed.back, "stays": list(removed.stays)}
    show(request, data, draw)


def _require_yes(request: Request, question: str, yes: bool) -> None:
    if yes:
        return
    if request.json or not sys.stdin.isatty():
        raise RequestError(_("Nothing is deleted without a yes."), hint=_("Add --yes."))
    if not click.confirm(question, err=True):
        raise SystemExit(1)


@click.command(
    "prune",
    cls=Command,
    help=_(
        "Propose what to delete: not used for long, to be had again, worse than another one that is here. Deletes "
        "nothing unless you say --yes."
    ),
    examples=(
        "ultralab models prune",
        "ultralab models prune --free 200GB",
        "ultralab models prune --only refetchable --yes",
    ),
)
@click.option("--free", metavar="SIZE", help=_("Propose only as much as gives this much free space."))
@click.option(
    "--unused-for", metavar="TIME", help=_("Count models as unused after this time; default: models.prune_age.")
)
@click.option(
    "--only", type=click.Choice(["refetchable", "derived"]), help=_("Only what can be fetched again, or made again.")
)
@click.option("--yes", is_flag=True, help=_("Delete what is proposed."))
@click.option(
    "--standing", is_flag=True, help=_("Do what lab.toml allows without asking (setting models.prune), no more.")
)
@click.pass_obj
def prune(
    request: Request, free: str | None, unused_for: str | None, only: str | None, yes: bool, standing: bool
) -> None:
    """Propose deletions."""
    from ultralab.app import model_cleaning
    from ultralab.cli.progress import progress_for

    if standing and (yes or free or unused_for or only):
        raise RequestError(
            _("--standing does what lab.toml says, and nothing else."), hint=_("Leave the other options out.")
        )
    lab = opened(request)
    if standing:
        _show_acts(request, model_cleaning.standing(lab, progress_for(request)))
        return
    found = model_cleaning.proposals(lab, free=free, unused_for=unused_for, only=only)
    if yes:
        _show_acts(request, model_cleaning.apply(lab, found, progress_for(request)))
    else:
        _show_proposals(request, found)


def _show_acts(request: Request, acts: Sequence[Act]) -> None:
    from rich.padding import Padding

    from ultralab.cli.output import show

    data = [
        {"what": act.what, "freed": act.freed, "why": act.why, "back": act.back, "error": act.error or None}
        for act in acts
    ]

    def draw(console: Any) -> None:
        for act in acts:
            if act.error:
                console.print(_("{what}  was not deleted").format(what=act.what), soft_wrap=True)
                console.print(Padding(act.error, (0, 0, 0, 4)))
                continue
            console.print(_("{what}  {size} freed").format(what=act.what, size=format_bytes(act.freed)), soft_wrap=True)
            console.print(Padding(_("To get it back: {back}").format(back=act.back), (0, 0, 0, 4)))
        if not any(not act.error for act in acts):
            console.print(_("Nothing was deleted."))

    show(request, data, draw)
    if any(act.error for act in acts):
        raise SystemExit(1)


def _show_proposals(request: Request, found: Sequence[Proposal]) -> None:
    from rich.padding import Padding

    from ultralab.cli.output import show

    total = sum(one.freed for one in found)
    data = [
        {
            "what": one.what,
            "kind": one.kind,
            "class": one.class_,
            "freed": one.freed,
            "volumes": dict(one.frees),
            "reasons": list(one.reasons),
            "warning": one.warning or None,
            "back": one.back or None,
        }
        for one in found
    ]

    def draw(console: Any) -> None:
        if not found:
            console.print(_("Nothing to propose."))
            return
        for one in found:
            console.print(f"{one.what}  {format_bytes(one.freed)}", soft_wrap=True)
            for line in (one.reason, _("To get it back: {back}").format(back=one.back) if one.back else ""):
                if line:
                    console.print(Padding(line, (0, 0, 0, 4)))
        said = _("Together {size}. Nothing was deleted; --yes deletes it.").format(size=format_bytes(total))
        console.print(said, soft_wrap=True)

    show(request, data, draw)


@click.command(
    "reindex",
    cls=Command,
    help=_("Make the index, the links and the pages again from the metadata files, which are the truth."),
    examples=("ultralab models reindex",),
)
@click.pass_obj
def reindex(request: Request) -> None:
    """Make the index again."""
    from ultralab.app import model_storage
    from ultralab.cli.output import show

    count = model_storage.reindex(opened(request))
    said = _("{count} models are in the index.").format(count=count)
    show(request, {"models": count}, lambda console: console.print(said))
