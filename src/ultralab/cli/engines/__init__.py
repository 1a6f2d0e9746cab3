"""``ultralab engines``. Each command is in a module of its own, imported when it is used."""

from __future__ import annotations

from typing import Final

import click

from ultralab.cli.frame import Group
from ultralab.kernel.language import N_, _

_COMMANDS: Final = {
    "list": ("ultralab.cli.engines.listing:list_", N_("The engines: there or not, what they load, can do and take.")),
    "check": (
        "ultralab.cli.engines.checking:check",
        N_("Run a real generation on a tiny model with each engine that is installed."),
    ),
    "advise": (
        "ultralab.cli.engines.advising:advise",
        N_("The engine and its options for this chip and a model, with reasons and sources."),
    ),
    "compare": (
        "ultralab.cli.engines.comparing:compare",
        N_("One prompt on every engine that loads a model: tokens, speed, memory, differences."),
    ),
}


@click.group(
    cls=Group,
    entries=_COMMANDS,
    help=_("Inference engines: llama.cpp, MLX, PyTorch, Ollama, and servers that speak OpenAI's dialect."),
    examples=(
        "ultralab engines list",
        "ultralab engines check",
        "ultralab engines advise smollm2-135m-instruct",
        'ultralab engines compare smollm2-135m-instruct -p "Why is the sky blue?"',
    ),
)
def engines() -> None:
    """Engines."""
