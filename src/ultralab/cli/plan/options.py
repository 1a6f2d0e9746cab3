"""The options that every question to the planner takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ultralab.kernel.language import _


def question_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--context``, ``--kv`` and so on, handed to the command as one ``Asked`` named ``asked``."""
    from functools import wraps

    from ultralab.app.plan_questions import Asked

    @wraps(command)
    def with_asked(*arguments: Any, **given: Any) -> Any:
        kv = given.pop("kv")
        asked = Asked(
            key_type=given.pop("key_type") or kv, value_type=given.pop("value_type") or kv,
            **{name: given.pop(name) for name in _PLAIN},
        )  # fmt: skip
        return command(*arguments, asked=asked, **given)

    for option in reversed(_options()):
        with_asked = option(with_asked)
    return with_asked


def complete_machine(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of machines, for the shell."""
    from ultralab.machine.named import named_machines

    return [name for name in ("this", *(one.name for one in named_machines())) if name.startswith(incomplete.lower())]


_PLAIN = ("context", "parallel", "unified", "engine", "machine", "prompt", "ubatch", "flash")
_KV = ("f16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")


def _options() -> list[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    types = click.Choice(_KV)
    return [
        click.option(
            "--context", type=int, metavar="N",
            help=_("Tokens of context of each sequence. [default: the setting engines.context]"),
        ),
        click.option("--kv", type=types, default="f16", show_default=True, help=_("How the KV cache stores elements.")),
        click.option("--kv-keys", "key_type", type=types, help=_("The same for the keys alone.")),
        click.option("--kv-values", "value_type", type=types, help=_("The same for the values alone.")),
        click.option(
            "--parallel", type=int, default=1, show_default=True, metavar="S", help=_("Sequences served at one time.")
        ),
        click.option("--unified", is_flag=True, help=_("One cache of --context tokens that all sequences share.")),
        click.option(
            "--engine", default="", metavar="NAME",
            help=_("llamacpp, mlx, torch or ollama. [default: by the model's format]"),
        ),
        click.option(
            "--machine", default="this", show_default=True, metavar="NAME", shell_complete=complete_machine,
            help=_("The machine to plan for; “ultralab plan machines” lists them."),
        ),
        click.option(
            "--prompt", type=int, default=512, show_default=True, metavar="N",
            help=_("Tokens that are read before the answer begins; they are in the cache while it is written."),
        ),
        click.option(
            "--ubatch", type=int, default=512, show_default=True, metavar="N",
            help=_("Tokens computed at once in prefill (llama.cpp's micro-batch)."),
        ),
        click.option("--flash/--no-flash", default=True, show_default=True, help=_("Flash attention.")),
    ]  # fmt: skip
