"""Changing a lab's settings, with what follows from it."""

from __future__ import annotations

from ultralab.app.lab import Lab
from ultralab.engines import engine_plugins
from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.language import _
from ultralab.settings import LAB_FILE, Settings, set_value


def change_setting(lab: Lab, key: str, text: str) -> Settings:
    """Change one setting in ``lab.toml`` and commit the file. Raises UnknownChoice, RequestError, InvalidSpec."""
    names = [plugin.name for plugin in engine_plugins()]
    if (
        key == "engines.default" and text.strip().partition(":")[0] not in names
    ):  # the settings' own floor knows no engines
        raise UnknownChoice.among(_("engine"), text, names)
    changed = set_value(lab.home, key, text)
    lab.keep([lab.home / LAB_FILE], f"Set {key}")
    return changed
