"""``--detach``: a long verb becomes a job that runs the same verb without it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ultralab.cli.frame import Request
from ultralab.cli.home import opened
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.jobs.types import Gpu

Function = Callable[..., Any]


@dataclass(frozen=True)
class Ahead:
    """What is known of a long verb before it runs: how its job is called, what it declares, and the folder it runs in.

    ``instead``: parameters of the verb that the job gets in place of those that were given.
    """

    name: str
    memory: int = 0
    gpu: Gpu = "exclusive"
    network: bool = False
    resumable: bool = False
    cwd: Path | None = None
    instead: Mapping[str, Any] = field(default_factory=dict)


def detachable(kind: str, ahead: Callable[..., Ahead]) -> Callable[[Function], Function]:
    """Give a long verb ``--detach``: it becomes a job of this kind, run by the same command without ``--detach``.

    ``ahead`` gets the lab and the verb's own parameters; it checks what can be checked now, and raises what the verb
    would raise. Stands below ``click.command`` and above ``click.pass_obj``.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def either(*arguments: Any, detach: bool, **parameters: Any) -> Any:
            if not detach:
                return function(*arguments, **parameters)
            return _detached(kind, ahead, parameters)

        help_ = _("Make a job of it, which goes on when this terminal is gone.")
        return cast("Function", click.option("--detach", is_flag=True, help=help_)(either))

    return decorate


def _detached(kind: str, ahead: Callable[..., Ahead], parameters: dict[str, Any]) -> None:
    from ultralab.app.jobs import detach
    from ultralab.cli.jobs.options import announce
    from ultralab.jobs.sense import fit_name

    context = click.get_current_context()
    request = context.ensure_object(Request)
    lab = opened(request)
    known = ahead(lab, **parameters)
    job = detach(
        lab,
        again(context, request, known.instead),
        name=fit_name(known.name),
        kind=kind,
        memory=known.memory,
        gpu=known.gpu,
        network=known.network,
        resumable=known.resumable,
        cwd=known.cwd,
    )
    announce(request, lab, job)


def again(context: click.Context, request: Request, instead: Mapping[str, Any] | None = None) -> list[str]:
    """The words that run this command once more, without the program, the lab and ``--detach``; paths absolute."""
    given = {**context.params, **(instead or {})}
    options: list[str] = []
    words: list[str] = []
    for parameter in context.command.params:
        value = given.get(parameter.name or "")
        if parameter.name == "detach" or not parameter.expose_value or value in (None, False, ()):
            continue
        values = value if isinstance(value, (list, tuple)) else (value,)
        if isinstance(parameter, click.Argument):
            words += map(_word, values)
        elif value is True:
            options.append(parameter.opts[0])
        else:
            options += [word for one in values for word in (parameter.opts[0], _word(one))]
    path: list[str] = []
    step: click.Context | None = context
    while step is not None and step.parent is not None:
        path.insert(0, step.info_name or "")
        step = step.parent
    language = ["--lang", request.lang] if request.lang else []
    return [*path, *language, *options, *(["--", *words] if any(word.startswith("-") for word in words) else words)]


def _word(value: Any) -> str:
    return str(value.expanduser().absolute()) if isinstance(value, Path) else str(value)
