"""The engines' own checks."""

from __future__ import annotations

from functools import partial

from ultralab.engines import engine, engine_plugins
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_


def doctor_checks(default: str = "llamacpp") -> tuple[Check, ...]:
    """Each registered engine can be imported and says whether it can run here; only that of the setting has to."""
    return tuple(
        Check(
            f"engines.{plugin.name}",
            N_("An engine is ready"),
            partial(_readiness, plugin.name, needed=plugin.name == default.partition(":")[0]),
        )
        for plugin in engine_plugins()
    )


def _readiness(name: str, *, needed: bool) -> Finding:
    try:
        state = engine(name).availability()
    except UltralabError as error:
        return Finding("fail", error.message, error.hint)
    if state.ready:
        return Finding("pass", f"{name}: {state.version}")
    return Finding("warn" if needed else "skip", f"{name}: {state.reason}", state.hint)
