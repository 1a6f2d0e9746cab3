"""``ultralab models adopt``, ``dedupe`` and ``expose``: one copy of the bytes for every tool."""

from __future__ import annotations

from pathlib import Path
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

_TOOLS = ("ollama", "lmstudio", "hf", "llamacpp")


def _ahead_of_adopt(_lab: Lab, *, yes: bool, **_given: object) -> Ahead:
    from ultralab.kernel.errors import RequestError

    if not yes:
        raise RequestError(_("A job cannot ask."), hint=_("Add --yes."))
    return Ahead("adopt", gpu="none", resumable=True)


@click.command(
    "adopt",
    cls=Command,
    help=_(
        "Find the models of Hugging Face tools, Ollama, LM Studio and llama.cpp, and those in FOLDERS, and register them "
        "where they are. Nothing is copied, moved or changed. Without --yes it only says what it found."
    ),
    examples=(
        "ultralab models adopt",
        "ultralab models adopt --from ollama --yes",
        "ultralab models adopt ~/Downloads/models --yes",
    ),
)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--from", "tools", multiple=True, type=click.Choice(_TOOLS), help=_("Only what this tool has."))
@click.option("--yes", is_flag=True, help=_("Register what was found."))
@detachable("adopt", _ahead_of_adopt)
@click.pass_obj
def adopt(request: Request, folders: tuple[Path, ...], tools: tuple[str, ...], yes: bool) -> None:
    """Adopt other tools' models."""
    from ultralab.app import model_sharing
    from ultralab.cli.output import show, table
    from ultralab.cli.progress import progress_for

    found = model_sharing.adopt(opened(request), folders, tools, progress_for(request), register=yes)
    rows = table(_("Found"), _("Tool"), _("Size"), _("State"), numbers=(2,))
    for one in found:
        rows.add_row(one.name, one.tool, format_bytes(one.size), one.state)
    data = [
        {
            "name": one.name,
            "tool": one.tool,
            "size": one.size,
            "ref": one.ref or None,
            "problem": one.problem or None,
            "paths": one.paths,
        }
        for one in found
    ]

    def draw(console: Any) -> None:
        if not found:
            console.print(_("No models of other tools were found."))
            return
        console.print(rows)
        if not yes and any(not one.problem and not one.ref for one in found):
            console.print(_("Nothing was registered; --yes registers what is new."), soft_wrap=True)

    show(request, data, draw)


def _ahead_of_dedupe(_lab: Lab, **_given: object) -> Ahead:
    return Ahead("dedupe", gpu="none", resumable=True)


@click.command(
    "dedupe",
    cls=Command,
    help=_(
        "Find files with the same bytes in the library, in other tools' folders and in FOLDERS; say exactly what sharing "
        "them would save, and with --yes share them (clone, reflink, hard link; a symlink across disks). Files count as "
        "equal only after all their bytes were compared by SHA-256."
    ),
    examples=("ultralab models dedupe", "ultralab models dedupe ~/models --yes"),
)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--min-size", metavar="SIZE", default="1MiB", show_default=True, help=_("Look only at files of at least this size.")
)
@click.option("--yes", is_flag=True, help=_("Share what was found."))
@detachable("dedupe", _ahead_of_dedupe)
@click.pass_obj
def dedupe(request: Request, folders: tuple[Path, ...], min_size: str, yes: bool) -> None:
    """Share equal bytes."""
    from ultralab.app import model_sharing
    from ultralab.cli.output import show, table
    from ultralab.cli.progress import progress_for

    done = model_sharing.dedupe(opened(request), folders, min_size, progress_for(request), share=yes)
    rows = table(_("File"), _("Size"), _("What"), numbers=(1,))
    for one in done.files:
        rows.add_row(one.path, format_bytes(one.size) if one.size else "–", one.what)

    def draw(console: Any) -> None:
        if done.files:
            console.print(rows)
        if done.shared:
            said = _("{size} were freed.").format(size=format_bytes(done.saved))
        elif done.saved:
            said = _("{size} ({bytes} bytes) can be freed; --yes does it.").format(
                size=format_bytes(done.saved), bytes=done.saved
            )
        elif done.files:
            said = _("Nothing can be shared now: the reasons are above.")
        else:
            said = _("Nothing lies on the disk twice.")
        console.print(said, soft_wrap=True)

    data = {
        "saved_bytes": done.saved,
        "already_shared_bytes": done.already_shared,
        "shared": done.shared,
        "files": [
            {"path": one.path, "size": one.size, "keeper": one.keeper or None, "state": one.state, "what": one.what}
            for one in done.files
        ],
    }
    show(request, data, draw)


@click.command(
    "expose",
    cls=Command,
    help=_("Let another tool use the library's copy of MODEL: links, where the tool looks for models."),
    examples=(
        "ultralab models expose qwen3-8b:q4_k_m --to ollama",
        "ultralab models expose qwen3-8b:q4_k_m --to lmstudio --undo",
    ),
)
@click.argument("model", shell_complete=complete_ref)
@click.option("--to", "tool", required=True, type=click.Choice(_TOOLS), help=_("The tool."))
@click.option("--undo", is_flag=True, help=_("Take the links away again."))
@click.pass_obj
def expose(request: Request, model: str, tool: str, undo: bool) -> None:
    """Show a model to another tool."""
    from ultralab.app import model_sharing
    from ultralab.cli.output import show

    done = model_sharing.expose(opened(request), model, tool, undo=undo)

    def draw(console: Any) -> None:
        for path in done.paths:
            console.print(path, soft_wrap=True)
        console.print(done.how_to, soft_wrap=True)

    show(request, {"ref": done.ref, "tool": tool, "paths": done.paths, "how_to": done.how_to}, draw)
