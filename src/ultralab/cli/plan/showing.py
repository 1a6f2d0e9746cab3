"""``ultralab plan show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.cli.models.names import complete_ref
from ultralab.cli.plan.options import question_options
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app.plan_questions import Asked


@click.command(
    "show",
    cls=Command,
    help=_(
        "Say what MODEL would take and how fast it would be: a model of the library, a file or a folder (of a GGUF file "
        "the header is enough), or a reference to a source, of which only headers are fetched."
    ),
    examples=(
        "ultralab plan show smollm2-135m-instruct",
        "ultralab plan show ./model.gguf --context 131072 --kv q8_0",
        "ultralab plan show hf:unsloth/DeepSeek-R1-GGUF:Q4_K_M --machine m3-ultra-512",
        "ultralab plan show ./model.gguf --exact --json",
    ),
)
@click.argument("model", shell_complete=complete_ref)
@question_options
@click.option("--exact", is_flag=True, help=_("Ask llama.cpp itself for the memory (GGUF only)."))
@click.option("--draft", metavar="MODEL", help=_("A draft model for speculative decoding, loaded beside it."))
@click.option("--projector", metavar="FILE", help=_("A vision projector (mmproj GGUF), loaded beside it."))
@click.pass_obj
def show_(request: Request, model: str, asked: Asked, *, exact: bool, draft: str | None, projector: str | None) -> None:
    """Plan one model."""
    from ultralab.app.plans import show_plan
    from ultralab.cli.output import show
    from ultralab.cli.plan.views import drawn
    from ultralab.cli.progress import progress_for

    with progress_for(request).step(_("Reading the header")):
        data: dict[str, Any] = show_plan(
            lab_or_none(request), model, asked, exact=exact, draft=draft, projector=projector
        )
    show(request, data, lambda console: drawn(console, data))
