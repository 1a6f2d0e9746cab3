"""The engines' own checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ultralab.engines import engine, engine_plugins
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_

if TYPE_CHECKING:
    from ultralab.engines.base import Engine


def doctor_checks(
    default: str = "llamacpp", find: Callable[[str], Sequence[Engine]] = lambda name: (engine(name),)
) -> tuple[Check, ...]:
    """Each registered engine can be imported and says whether it can run here; only that of the setting has to.

    ``find`` gives the engines of a registered name as the lab's settings want them: several where it has several addresses.
    """
    return tuple(
        Check(f"engines.{plugin.name}", N_("An engine is ready"), partial(_readiness, plugin.name, default, find))
        for plugin in engine_plugins()
    )


def _readiness(name: str, default: str, find: Callable[[str], Sequence[Engine]]) -> Finding:
    try:
        states = [(one.name, one.availability()) for one in find(name)]
    except UltralabError as error:
        return Finding("fail", error.message, error.hint)
    told = "; ".join(f"{one}: {state.version or state.reason}" for one, state in states)
    hint = next((state.hint for _name, state in states if not state.ready), "")
    wanted = [state for one, state in states if one == default] or [state for _name, state in states]
    if all(state.ready for state in wanted):
        return Finding("pass", told, hint)
    return Finding("warn" if name == default.partition(":")[0] else "skip", told, hint)
