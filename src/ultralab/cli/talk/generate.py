"""``ultralab generate``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.engines.options import engine_option, load_options
from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.cli.models.names import complete_ref
from ultralab.cli.talk.options import sampling_options
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app.engine_options import Wanted
    from ultralab.engines.types import Ask, Sampling


@click.command(
    "generate",
    cls=Command,
    help=_(
        "Generate an answer to one prompt: text on standard output, the account of it on standard error. MODEL is a model "
        "of the library, a file or a folder; with --engine external:NAME what that server calls it."
    ),
    examples=(
        'ultralab generate smollm2-135m-instruct -p "The capital of France is"',
        "ultralab generate ./model.gguf --file question.txt --max-tokens 200",
        'git diff | ultralab generate qwen3 --system "Review this change."',
        'ultralab generate smollm2-135m-instruct --raw -p "1, 2, 3," --max-tokens 8',
    ),
)
@click.argument("model", shell_complete=complete_ref)
@click.option("--prompt", "-p", metavar="TEXT", help=_("The prompt; without it, --file or standard input."))
@click.option("--file", "-f", type=click.Path(path_type=Path), metavar="FILE", help=_("A file that holds the prompt."))
@click.option("--system", metavar="TEXT", default="", help=_("A system prompt."))
@click.option("--raw", is_flag=True, help=_("Go on with the text as it is, without the model's chat template."))
@click.option("--embed", is_flag=True, help=_("Print the text's embedding instead of an answer."))
@engine_option
@sampling_options(temperature=0.0)
@load_options
@click.pass_obj
def generate(
    request: Request,
    model: str,
    *,
    prompt: str | None,
    file: Path | None,
    system: str,
    raw: bool,
    embed: bool,
    engine_name: str,
    sampling: Sampling,
    max_tokens: int,
    stop: tuple[str, ...],
    wanted: Wanted,
) -> None:
    """Generate."""
    from ultralab.app.engines import require_text, serving
    from ultralab.cli.progress import progress_for
    from ultralab.engines.types import Ask

    text = require_text(_prompt(prompt, file))
    drawn = replace(sampling, seed=wanted.seed)
    lab, progress = lab_or_none(request), progress_for(request)
    if embed:
        wanted = replace(wanted, embeddings=True)
    with serving(lab, model, wanted, progress, engine_name=engine_name) as (_engine, _model, running):
        if embed:
            _print_vector(request, running.client.embed([text])[0])
            return
        chats = not raw and "chat" in running.client.about().capabilities
        ask = Ask(max_tokens=max_tokens, sampling=drawn, stop=stop)
        if chats:
            said = ({"role": "system", "content": system},) if system else ()
            ask = replace(ask, messages=(*said, {"role": "user", "content": text}))
        else:
            ask = replace(ask, prompt=f"{system}\n\n{text}" if system else text)
        _print_answer(request, running, ask)


def _print_answer(request: Request, running: Any, ask: Ask) -> None:
    from ultralab.cli.output import print_json
    from ultralab.cli.talk.answering import answer, to_terminal

    if request.json:
        found = answer(running, ask, lambda _text, _thinking: None)
        print_json(
            {
                "engine": running.engine,
                "version": running.version,
                "text": found.text,
                "reasoning": found.reasoning or None,
                "tool_calls": list(found.calls),
                **found.stats.data(),
            }
        )
        return
    found = answer(running, ask, to_terminal(thoughts=True))
    if not found.text.endswith("\n"):
        sys.stdout.write("\n")
        sys.stdout.flush()
    if not request.quiet:
        print(f"{running.engine}: {found.stats.line()}", file=sys.stderr)


def _print_vector(request: Request, vector: tuple[float, ...]) -> None:
    from ultralab.cli.output import print_json

    if request.json:
        print_json({"dimensions": len(vector), "embedding": list(vector)})
    else:
        print(" ".join(f"{value:.6f}" for value in vector))


def _prompt(prompt: str | None, file: Path | None) -> str:
    from ultralab.kernel.errors import RequestError
    from ultralab.system import files

    if prompt is not None and file is not None:
        raise RequestError(_("--prompt and --file are two prompts."), hint=_("Give one of them."))
    if prompt is not None:
        return prompt
    if file is not None:
        return files.read_text(file.expanduser())
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    return sys.stdin.read()
