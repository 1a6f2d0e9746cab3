"""Extension points: Python entry points, which the built-ins use as well.

A third-party package adds an engine, a model source and so on by declaring an entry point in one of
:data:`GROUPS`; its object is what the seam (the named module) describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ultralab.kernel.errors import Failure, UnknownChoice
from ultralab.kernel.language import _

GROUPS: Final = {
    "ultralab.engines": "ultralab.engines.base.Engine",
    "ultralab.model_sources": "ultralab.models.sources.base.Source",
    "ultralab.model_formats": "ultralab.models.formats.base.Format",
    "ultralab.samplers": "ultralab.monitor.base.Sampler",
    "ultralab.environment_templates": "ultralab.environments.base.EnvironmentTemplate",
    "ultralab.recipes": "ultralab.recipes.base.Recipe",
}


@dataclass(frozen=True)
class Plugin:
    """One registered extension: its group, its name and the distribution that brought it."""

    group: str
    name: str
    target: str
    distribution: str
    version: str


def installed(group: str) -> tuple[Plugin, ...]:
    """Every extension registered in a group, by name; nothing is imported. A name's first provider wins."""
    import importlib.metadata  # slow: it brings the e-mail parser

    found: dict[str, Plugin] = {}
    for entry in importlib.metadata.entry_points(group=group):
        owner = entry.dist
        name, version = (owner.name, owner.version) if owner else ("?", "?")
        found.setdefault(entry.name, Plugin(group, entry.name, entry.value, name, version))
    return tuple(found[name] for name in sorted(found))


def load(group: str, name: str, what: str) -> object:
    """Import and return the extension ``name``; ``what`` is the translated noun for the error.

    Raises UnknownChoice for a name nobody registered, Failure when a third party's module cannot be imported.
    """
    for plugin in installed(group):
        if plugin.name == name:
            return _import(plugin)
    raise UnknownChoice.among(what, name, (plugin.name for plugin in installed(group)))


def _import(plugin: Plugin) -> object:
    import importlib.metadata

    entry = importlib.metadata.EntryPoint(plugin.name, plugin.target, plugin.group)
    try:
        return entry.load()
    except Exception as error:  # a third party's module may raise what it likes
        raise Failure(
            _("The extension {name!r} of {package} {version} cannot be loaded: {error}").format(
                name=plugin.name, package=plugin.distribution, version=plugin.version, error=error
            ),
            hint=_("Upgrade or uninstall {package}.").format(package=plugin.distribution),
            extension=plugin.name,
        ) from error
