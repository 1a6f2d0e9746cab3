"""``ultralab models move`` and ``volumes``: on which disk the bytes lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.detach import Ahead, detachable
from ultralab.cli.frame import Command, Group, Request
from ultralab.cli.home import opened
from ultralab.cli.models.names import complete_ref
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes

if TYPE_CHECKING:
    from ultralab.app import Lab


def _ahead_of_move(lab: Lab, model: str, volume: str) -> Ahead:
    from ultralab.models import find

    find(lab.library, model)
    return Ahead(f"move {model} {volume}", gpu="none", resumable=True)


@click.command(
    "move",
    cls=Command,
    help=_("Move the bytes of MODEL to VOLUME (home is the lab's own disk). They are compared before the old ones go."),
    examples=("ultralab models move deepseek-r1:q4_k_m ssd", "ultralab models move deepseek-r1:q4_k_m home --detach"),
)
@click.argument("model", shell_complete=complete_ref)
@click.argument("volume")
@detachable("move", _ahead_of_move)
@click.pass_obj
def move(request: Request, model: str, volume: str) -> None:
    """Move a model."""
    from ultralab.app import model_storage
    from ultralab.cli.models.views import to_data
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for

    record = model_storage.move(opened(request), model, volume, progress_for(request))
    said = _("{ref} is on volume {volume}.").format(ref=record.ref, volume=volume)
    show(request, {**to_data(record), "volume": volume}, lambda console: console.print(said, soft_wrap=True))


@click.group(
    cls=Group,
    help=_("The disks that model bytes lie on: the lab's own (home), and others, plugged in or not."),
    examples=("ultralab models volumes list", "ultralab models volumes add ssd /Volumes/SSD/models"),
)
def volumes() -> None:
    """Volumes."""


@volumes.command("list", help=_("List the volumes with their free space."), examples=("ultralab models volumes list",))
@click.pass_obj
def list_(request: Request) -> None:
    """List the volumes."""
    from ultralab.app import model_storage
    from ultralab.cli.output import show, table

    found = model_storage.volumes(opened(request))
    rows = table(_("Volume"), _("State"), _("Free"), _("Models"), _("Folder"), numbers=(2, 3))
    for one in found:
        free = format_bytes(one.free) if one.free is not None else "–"
        rows.add_row(one.name, _(one.said), free, format_bytes(one.used), str(one.root))
    data: list[dict[str, Any]] = [
        {"name": one.name, "state": one.state, "free": one.free, "used": one.used, "root": str(one.root)}
        for one in found
    ]
    show(request, data, lambda console: console.print(rows))


@volumes.command(
    "add",
    help=_("Make FOLDER, on another disk, a volume of this lab called NAME."),
    examples=("ultralab models volumes add ssd /Volumes/SSD/models",),
)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_obj
def add(request: Request, name: str, folder: Path) -> None:
    """Add a volume."""
    from ultralab.app import model_storage
    from ultralab.cli.output import show

    volume = model_storage.add_volume(opened(request), name, folder)
    said = _("Volume {name}: {folder}").format(name=volume.name, folder=volume.root)
    show(request, {"name": volume.name, "root": str(volume.root)}, lambda console: console.print(said, soft_wrap=True))


@volumes.command(
    "remove",
    help=_("Forget the volume NAME; refused while models are on it. The folder stays."),
    examples=("ultralab models volumes remove ssd",),
)
@click.argument("name")
@click.pass_obj
def remove(request: Request, name: str) -> None:
    """Forget a volume."""
    from ultralab.app import model_storage
    from ultralab.cli.output import show

    volume = model_storage.remove_volume(opened(request), name)
    said = _("The lab no longer uses {folder}.").format(folder=volume.root)
    show(request, {"name": volume.name, "root": str(volume.root)}, lambda console: console.print(said, soft_wrap=True))
