"""The options of a command that loads a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from ultralab.cli.frame import Request
from ultralab.cli.home import home_of
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _

_KV = ("f16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
_PLAIN = ("context", "threads", "seed", "flash", "batch", "ubatch", "draft", "adapters", "chat_template", "projector")


def complete_engine(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of engines, and of the external addresses of the settings, for the shell."""
    from ultralab.engines import engine_plugins
    from ultralab.settings import load

    try:
        addresses = load(home_of(context.find_object(Request) or Request())).engines.external
    except UltralabError:  # settings that cannot be read
        addresses = ()
    servers = [f"external:{one.partition('=')[0]}" for one in addresses]
    return [name for name in (*(plugin.name for plugin in engine_plugins()), *servers) if name.startswith(incomplete)]


def engine_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--engine``, handed to the command as ``engine_name``."""
    option = click.option(
        "--engine", "engine_name", default="", metavar="NAME", shell_complete=complete_engine,
        help=_("The engine; external:NAME for an address of the settings. [default: the setting engines.default, else the first that can]"),
    )  # fmt: skip
    return option(command)


def load_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--context``, ``--kv`` and so on, handed to the command as one ``Wanted`` named ``wanted``."""

    @wraps(command)
    def with_wanted(*arguments: Any, **given: Any) -> Any:
        from ultralab.app.engine_options import Wanted

        kv = given.pop("kv")
        wanted = Wanted(
            key_type=given.pop("key_type") or kv, value_type=given.pop("value_type") or kv,
            weight_bits=int(given.pop("weight_bits")),
            **{name: given.pop(name) for name in _PLAIN},
        )  # fmt: skip
        return command(*arguments, wanted=wanted, **given)

    for option in reversed(_options()):
        with_wanted = option(with_wanted)
    return with_wanted


def _options() -> list[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    types = click.Choice(_KV)
    return [
        click.option(
            "--context", type=click.IntRange(16), metavar="N",
            help=_("Tokens of context. [default: the setting engines.context]"),
        ),
        click.option("--kv", type=types, default="f16", show_default=True, help=_("How the KV cache stores elements.")),
        click.option("--kv-keys", "key_type", type=types, help=_("The same for the keys alone.")),
        click.option("--kv-values", "value_type", type=types, help=_("The same for the values alone.")),
        click.option("--flash/--no-flash", default=True, show_default=True, help=_("Flash attention.")),
        click.option(
            "--batch", type=click.IntRange(1), default=2048, show_default=True, metavar="N",
            help=_("Tokens of a prompt that are handed over at once."),
        ),
        click.option(
            "--ubatch", type=click.IntRange(1), default=512, show_default=True, metavar="N",
            help=_("Tokens of a prompt that are computed at once (micro-batch)."),
        ),
        click.option(
            "--threads", type=click.IntRange(0, 1024), metavar="N",
            help=_("Processor threads. [default: one per performance core]"),
        ),
        click.option("--draft", default="", metavar="MODEL", help=_("A small model for speculative decoding.")),
        click.option(
            "--adapter", "adapters", multiple=True, metavar="PATH[=SCALE]", help=_("A LoRA adapter; may be repeated.")
        ),
        click.option(
            "--chat-template", default="", metavar="FILE", help=_("A chat template (Jinja) instead of the model's own.")
        ),
        click.option("--projector", default="", metavar="FILE", help=_("A vision projector (mmproj GGUF).")),
        click.option(
            "--weight-bits", type=click.Choice(["0", "4", "8"]), default="0", show_default=True,
            help=_("Quantize the weights while loading, where the engine can; 0 takes them as stored."),
        ),
        click.option(
            "--seed", type=click.IntRange(0), default=42, show_default=True, metavar="N", help=_("Seed of the sampler.")
        ),
    ]  # fmt: skip
