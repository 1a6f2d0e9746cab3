"""Changing a lab's settings, with what follows from it."""

from __future__ import annotations

from ultralab.app.lab import Lab
from ultralab.settings import LAB_FILE, Settings, set_value


def change_setting(lab: Lab, key: str, text: str) -> Settings:
    """Change one setting in ``lab.toml`` and commit the file. Raises UnknownChoice, RequestError, InvalidSpec."""
    changed = set_value(lab.home, key, text)
    lab.keep([lab.home / LAB_FILE], f"Set {key}")
    return changed
