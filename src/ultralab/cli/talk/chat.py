"""``ultralab chat``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ultralab.cli.engines.options import engine_option, load_options
from ultralab.cli.frame import Command, Request
from ultralab.cli.home import lab_or_none
from ultralab.cli.models.names import complete_ref
from ultralab.cli.talk.options import sampling_options
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app.engine_options import Wanted
    from ultralab.cli.talk.conversation import Conversation
    from ultralab.engines.host import Loaded
    from ultralab.engines.types import Sampling
    from ultralab.kernel.errors import UltralabError


@click.command(
    "chat",
    cls=Command,
    help=_(
        "Talk with a model. It remembers the conversation; /help lists what else can be typed. Ctrl-C stops an answer, "
        "Ctrl-D ends. Without a terminal each line of standard input is a message."
    ),
    examples=(
        "ultralab chat smollm2-135m-instruct",
        'ultralab chat qwen3 --system "Answer in one sentence." --context 16384',
        "ultralab chat gpt-oss --engine external:studio",
        "printf 'Hello\\nAnd again\\n' | ultralab chat smollm2-135m-instruct --json",
    ),
)
@click.argument("model", shell_complete=complete_ref)
@click.option("--system", metavar="TEXT", default="", help=_("A system prompt."))
@engine_option
@sampling_options(temperature=0.7)
@load_options
@click.pass_obj
def chat(
    request: Request,
    model: str,
    *,
    system: str,
    engine_name: str,
    sampling: Sampling,
    max_tokens: int,
    stop: tuple[str, ...],
    wanted: Wanted,
) -> None:
    """Talk."""
    from ultralab.app.engines import serving
    from ultralab.cli.progress import progress_for
    from ultralab.cli.talk.conversation import Conversation
    from ultralab.kernel.errors import Unsupported

    drawn = replace(sampling, seed=wanted.seed)
    with serving(lab_or_none(request), model, wanted, progress_for(request), engine_name=engine_name) as found:
        _engine, _model, running = found
        if "chat" not in running.client.about().capabilities:
            raise Unsupported(
                _("{model} has no chat template: it can only go on with a text.").format(model=model),
                hint=_("Use “ultralab generate”, or give a template: --chat-template FILE"),
            )
        _talk(request, running, Conversation(model, system, drawn, max_tokens, stop))


def _talk(request: Request, running: Loaded, talk: Conversation) -> None:
    from ultralab.app.engines import require_text
    from ultralab.cli.talk import commands
    from ultralab.kernel.errors import EngineDied, EngineFailed, RequestError

    terminal = sys.stdin is not None and sys.stdin.isatty() and not request.json
    if terminal and not request.quiet:
        _greet(running)
    for line in _lines(terminal):
        if not line.strip():
            continue
        if line.startswith("/"):
            if commands.run(line, talk) == "end":
                return
            continue
        try:
            _answer(request, running, talk, require_text(line), terminal=terminal)
        except (EngineFailed, RequestError) as error:  # too long a conversation, say: what was said stays
            if isinstance(error, EngineDied) or not terminal:
                raise
            print(_problem(error), file=sys.stderr)


def _problem(error: UltralabError) -> str:
    from ultralab.engines.clients.failures import is_about_context
    from ultralab.kernel.errors import EngineFailed

    hints = [error.hint]
    if isinstance(error, EngineFailed) and is_about_context(error):
        hints = [_("/undo or /clear makes room; a larger context: ultralab chat … --context N")]
    return "\n".join([error.message, *(f"  → {hint}" for hint in hints if hint)])


def _answer(request: Request, running: Loaded, talk: Conversation, line: str, *, terminal: bool) -> None:
    import json

    from ultralab.cli.output import lossless
    from ultralab.cli.talk.answering import answer, to_terminal

    if request.json:
        found = answer(running, talk.ask(line), lambda _text, _thinking: None)
        data = {"text": found.text, "reasoning": found.reasoning or None, **found.stats.data()}
        print(lossless(json.dumps(data, ensure_ascii=False)), flush=True)
    else:
        found = answer(running, talk.ask(line), to_terminal(thoughts=True), stoppable=terminal)
        print("\n" if terminal else "", flush=True)
        if terminal and found.stats.finish == "length":
            print(_("(cut off: the limit of tokens is reached, or the context is full)"), file=sys.stderr)
    talk.said(line, found)


def _greet(running: Loaded) -> None:
    about = running.client.about()
    told = _("{engine}, {context} tokens of context. /help for help, Ctrl-D to end.").format(
        engine=f"{running.engine} ({running.version})", context=f"{about.context:,}" if about.context else "?"
    )
    print(told, file=sys.stderr)


def _lines(terminal: bool) -> Iterator[str]:
    """Messages: from a terminal with line editing and history, else one a line."""
    if not terminal:
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    import readline  # noqa: F401 - input() edits lines with it

    warned = False
    while True:
        try:
            yield _message()
            warned = False
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            if warned:
                return
            warned = True  # who stops an answer twice wants to keep the conversation
            print(_("Ctrl-C once more, or Ctrl-D, ends the conversation."), file=sys.stderr)


def _message() -> str:
    """A message, of several lines where they end with a backslash. Raises EOFError, KeyboardInterrupt."""
    line = input(">>> ")
    while line.endswith("\\"):
        line = line[:-1] + "\n" + input("... ")
    return line
