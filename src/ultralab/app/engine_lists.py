"""What the engines are: there or not, what they load, can do and take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ultralab.app.engines import every
from ultralab.app.lab import Lab
from ultralab.engines.options import OPTIONS
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.engines.base import Engine


def list_engines(lab: Lab) -> list[dict[str, Any]]:
    """Every engine as data: ready or why not, formats, capabilities, options with their notes (translated)."""
    return [_facts(one, default=_is_default(one.name, lab)) for one in every(lab)]


def _is_default(name: str, lab: Lab) -> bool:
    """``external`` alone means the only address."""
    usual = lab.settings.engines.default
    return name == usual or (
        usual == "external" and name.startswith("external:") and len(lab.settings.engines.external) == 1
    )


def _facts(one: Engine, *, default: bool) -> dict[str, Any]:
    state = one.availability()
    return {
        "engine": one.name,
        "title": one.title,
        "default": default,
        "ready": state.ready,
        "version": state.version or None,
        "reason": state.reason or None,
        "hint": state.hint or None,
        "formats": sorted(one.formats),
        "capabilities": sorted(one.capabilities),
        "options": [
            {
                "option": name,
                "meaning": _(OPTIONS[name].meaning),
                "takes": _(OPTIONS[name].takes),
                "only": [str(value) for value in takes.among],
                "note": _(takes.note),
            }
            for name, takes in one.options.items()
        ],
    }
