"""How tokens are drawn: options of chat and generate."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from ultralab.kernel.language import _

_NAMES = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty")


def sampling_options(temperature: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--temperature`` and so on, handed to the command as one ``sampling``, without its seed."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_sampling(*arguments: Any, **given: Any) -> Any:
            from ultralab.engines.types import Sampling

            return command(*arguments, sampling=Sampling(**{name: given.pop(name) for name in _NAMES}), **given)

        found: Callable[..., Any] = with_sampling
        for option in reversed(_options(temperature)):
            found = option(found)
        return found

    return decorate


def _some_text(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    if "" in texts:  # every answer begins with it
        raise click.BadParameter(_("An empty text would end every answer at once."))
    return texts


def _options(temperature: float) -> list[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    return [
        click.option(
            "--temperature", "-t", type=click.FloatRange(0, 10), default=temperature, show_default=True, metavar="T",
            help=_("0 takes the likeliest token each time."),
        ),
        click.option(
            "--top-p", type=click.FloatRange(0, 1), default=1.0, show_default=True, metavar="P",
            help=_("Only the likeliest tokens that together have this probability."),
        ),
        click.option(
            "--top-k", type=click.IntRange(0), default=0, show_default=True, metavar="K",
            help=_("Only the K likeliest tokens; 0 for all."),
        ),
        click.option(
            "--min-p", type=click.FloatRange(0, 1), default=0.0, show_default=True, metavar="P",
            help=_("Only tokens with this part of the likeliest one's probability."),
        ),
        click.option(
            "--repeat-penalty", type=click.FloatRange(0.1, 10), default=1.0, show_default=True, metavar="R",
            help=_("Above 1, what was said is less likely to be said again."),
        ),
        click.option(
            "--max-tokens", type=click.IntRange(0), default=0, show_default=True, metavar="N",
            help=_("The most tokens of an answer; 0 for as many as the context holds."),
        ),
        click.option(
            "--stop", multiple=True, metavar="TEXT", callback=_some_text,
            help=_("An answer ends before this text; may be repeated."),
        ),
    ]  # fmt: skip
