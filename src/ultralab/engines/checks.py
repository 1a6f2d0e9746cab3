"""The engines' own checks."""

from __future__ import annotations

from functools import partial

from ultralab.engines import engine, engine_plugins
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_


def doctor_checks() -> tuple[Check, ...]:
    """Each registered engine can be loaded and says whether it can run here."""
    return tuple(
        Check(f"engines.{plugin.name}", N_("An engine is ready"), partial(_readiness, plugin.name))
        for plugin in engine_plugins()
    )


def _readiness(name: str) -> Finding:
    try:
        state = engine(name).availability()
    except UltralabError as error:
        return Finding("fail", error.message, error.hint)
    if state.ready:
        return Finding("pass", f"{name}: {state.version}")
    return Finding("warn", f"{name}: {state.reason}", state.hint)
