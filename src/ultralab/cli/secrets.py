"""``ultralab secrets``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from ultralab.cli.frame import Group, Request
from ultralab.cli.home import home_of
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.secrets import Secrets

_MOST: Final = 65_537


@click.group(
    cls=Group,
    help=_("Tokens and passwords, kept in the system's keychain or in a file that only you can read."),
    examples=("ultralab secrets set hf", "ultralab secrets list", "ultralab secrets forget hf"),
)
def secrets() -> None:
    """The secrets."""


@secrets.command(
    "set",
    help=_("Keep a secret: hf, modelscope, github, or a name of yours. It is asked for, or read from standard input."),
    examples=("ultralab secrets set hf", "ultralab secrets set github < token.txt"),
)
@click.argument("name")
@click.pass_obj
def set_(request: Request, name: str) -> None:
    """Keep a secret."""
    from ultralab.cli.output import show
    from ultralab.secrets import write
    from ultralab.secrets.verbs import require_name

    require_name(name)
    kept = write(_secrets(request), name, _value(name))
    if kept.note:
        print(kept.note, file=sys.stderr)
    said = _("{name} is kept ({store}).").format(name=name, store=kept.store)
    data = {"name": name, "store": kept.store, "note": kept.note}
    show(request, data, lambda console: console.print(said, soft_wrap=True))


@secrets.command(
    "list",
    help=_("List the names of the secrets and where each is kept, never a value."),
    examples=("ultralab secrets list", "ultralab secrets list --json"),
)
@click.pass_obj
def list_(request: Request) -> None:
    """List the names."""
    from ultralab.cli.output import show, table
    from ultralab.secrets import names

    found = names(_secrets(request))
    rows = table(_("Name"), _("Kept in"))
    for name, store in found.items():
        rows.add_row(name, store)
    data = [{"name": name, "store": store} for name, store in found.items()]
    show(request, data, lambda console: console.print(rows if found else _("No secrets are kept.")))


@secrets.command("forget", help=_("Remove a secret, wherever it is kept."), examples=("ultralab secrets forget hf",))
@click.argument("name")
@click.pass_obj
def forget_(request: Request, name: str) -> None:
    """Remove a secret."""
    from ultralab.cli.output import show
    from ultralab.secrets import forget

    places = forget(_secrets(request), name)
    said = _("{name} is forgotten ({store}).").format(name=name, store=", ".join(places))
    show(request, {"name": name, "stores": list(places)}, lambda console: console.print(said, soft_wrap=True))


def _value(name: str) -> str:
    """One line: typed unseen, or what stands on standard input. Never an argument: others can read those."""
    if sys.stdin.isatty():
        typed: str = click.prompt(_("The secret {name} (not shown)").format(name=name), hide_input=True, err=True)
        return typed.strip()
    return sys.stdin.read(_MOST).strip()


def _secrets(request: Request) -> Secrets:
    """The user's secrets, by the lab's setting where there is a lab: they belong to the machine."""
    from ultralab.secrets import Secrets
    from ultralab.settings import Settings, is_lab, load

    home = home_of(request)
    settings = load(home) if is_lab(home) else Settings()
    return Secrets(choice=settings.secrets.store)
