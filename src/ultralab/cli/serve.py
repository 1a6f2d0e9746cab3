"""``ultralab serve``."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from rich.console import Console

    from ultralab.app import Lab


@click.command(
    "serve",
    cls=Command,
    help=_(
        "Serve the lab: start jobs when their turn comes, delayed and scheduled ones too, until SIGTERM or Ctrl-C."
        " With --install the system does that from its start on, before anybody logs in."
    ),
    examples=(
        "ultralab serve",
        "ultralab serve --install --dry-run",
        "sudo ultralab serve --install --home ~/ultralab",
        "sudo ultralab serve --uninstall --home ~/ultralab",
    ),
)
@click.option("--install", is_flag=True, help=_("Install it as a service of the system (launchd or systemd)."))
@click.option("--dry-run", is_flag=True, help=_("With --install: only print the service's file."))
@click.option("--uninstall", is_flag=True, help=_("End that service and remove it. Running jobs go on."))
@click.option("--root", type=click.Path(path_type=Path), hidden=True)  # for tests: starts nothing
@click.pass_obj
def serve(request: Request, install: bool, dry_run: bool, uninstall: bool, root: Path | None) -> None:
    """Serve, or have the system do it."""
    if install and uninstall:
        raise click.UsageError(_("--install and --uninstall exclude each other."))
    if dry_run and not install:
        raise click.UsageError(_("--dry-run belongs to --install."))
    lab = opened(request)
    if install:
        _install(request, lab, root, dry_run=dry_run)
    elif uninstall:
        _uninstall(request, lab, root)
    else:
        _serve(request, lab)


def _serve(request: Request, lab: Lab) -> None:
    from ultralab.daemon.serve import serve as run

    def say(text: str) -> None:
        print(json.dumps({"said": text}, ensure_ascii=False) if request.json else text, flush=True)

    run(lab, say)


def _install(request: Request, lab: Lab, root: Path | None, *, dry_run: bool) -> None:
    from ultralab.app.jobs import program_command
    from ultralab.cli.output import show
    from ultralab.daemon.install import install, service_of, unit_for
    from ultralab.system import environ

    state = environ.read("ULTRALAB_STATE")
    kept = {"ULTRALAB_STATE": os.path.abspath(os.path.expanduser(state))} if state else {}  # noqa: PTH100, PTH111
    service = service_of(lab.home, program_command(), kept)
    unit = unit_for(sys.platform, service)
    path = unit.keeper.unit if root is None else root / unit.keeper.unit.name
    if not dry_run:
        install(service, unit, _again("--install", lab, kept), root)
    text = unit.content.decode()
    data = {**_facts(unit.keeper.name, path, lab), "user": service.user, "content": text, "written": not dry_run}

    def draw(out: Console) -> None:
        if dry_run:
            out.print(text, end="", soft_wrap=True)
            return
        said = _("Written: {path}") if root else _("Installed and running, as {user}: {path}")
        out.print(said.format(path=path, user=service.user), soft_wrap=True)

    show(request, data, draw)


def _uninstall(request: Request, lab: Lab, root: Path | None) -> None:
    from ultralab.cli.output import show
    from ultralab.daemon.install import uninstall
    from ultralab.daemon.keepers import keeper_for

    keeper = keeper_for(sys.platform, lab.home / "state" / "serve.log")
    removed = uninstall(lab.home, keeper, _again("--uninstall", lab, {}), root)
    path = keeper.unit if root is None else root / keeper.unit.name
    data = {**_facts(keeper.name, path, lab), "removed": removed is not None}

    def draw(out: Console) -> None:
        if removed is None:
            out.print(_("Nothing to do: there is no {path}.").format(path=path), soft_wrap=True)
        else:
            out.print(_("Removed: {path}").format(path=path), soft_wrap=True)

    show(request, data, draw)


def _facts(keeper: str, path: Path, lab: Lab) -> dict[str, Any]:
    return {"keeper": keeper, "path": str(path), "home": str(lab.home)}


def _again(option: str, lab: Lab, kept: dict[str, str]) -> str:
    """How root would give this command: sudo drops the environment and may have another PATH."""
    from ultralab.app.jobs import program_command

    found = shutil.which(sys.argv[0])
    program = (os.path.abspath(found),) if found else program_command()  # noqa: PTH100 - a link stays one
    variables = ("env", *(f"{name}={value}" for name, value in kept.items())) if kept else ()
    return shlex.join(["sudo", *variables, *program, "serve", option, "--home", str(lab.home)])
