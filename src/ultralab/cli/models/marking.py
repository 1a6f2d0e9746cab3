"""``ultralab models tag`` and ``describe``: what the owner says of a model."""

from __future__ import annotations

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.models.names import complete_ref, complete_tag
from ultralab.kernel.errors import RequestError
from ultralab.kernel.language import _


@click.command(
    "tag",
    cls=Command,
    help=_("Give MODEL the TAGS. The tag keep protects a model from prune."),
    examples=(
        "ultralab models tag smollm2-135m-instruct:q4_1 small keep",
        "ultralab models tag smollm2-135m-instruct:q4_1 --remove keep",
    ),
)
@click.argument("model", shell_complete=complete_ref)
@click.argument("tags", nargs=-1)
@click.option("--remove", multiple=True, metavar="TAG", shell_complete=complete_tag, help=_("Take this tag away."))
@click.pass_obj
def tag(request: Request, model: str, tags: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Tag a model."""
    from ultralab.app import model_catalog as verbs
    from ultralab.cli.models.views import to_data
    from ultralab.cli.output import show

    if not (tags or remove):
        raise RequestError(_("No tag is given."), hint=_("Name tags to give, or --remove TAG."))
    record = verbs.tag(opened(request), model, add=tags, remove=remove)
    shown = ", ".join(record.tags) or "–"
    show(request, to_data(record), lambda console: console.print(f"{record.ref}: {shown}", soft_wrap=True))


@click.command(
    "describe",
    cls=Command,
    help=_("Say in one sentence what MODEL is for; catalog and model page show it, find searches it."),
    examples=('ultralab models describe smollm2-135m-instruct:q4_1 "For tests."',),
)
@click.argument("model", shell_complete=complete_ref)
@click.argument("text")
@click.pass_obj
def describe(request: Request, model: str, text: str) -> None:
    """Describe a model."""
    from ultralab.app import model_catalog as verbs
    from ultralab.cli.models.views import to_data
    from ultralab.cli.output import show

    record = verbs.describe(opened(request), model, text)
    said = f"{record.ref}: {record.description or '–'}"
    show(request, to_data(record), lambda console: console.print(said, soft_wrap=True))
