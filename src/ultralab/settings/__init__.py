"""The lab's settings: one schema, the file `lab.toml`, the reference table. Cheap to import: used at every start."""

from ultralab.settings.file import LAB_FILE, default_toml, is_lab, load, quick_language, set_value
from ultralab.settings.schema import Field, Settings, describe, values

__all__ = [
    "LAB_FILE",
    "Field",
    "Settings",
    "default_toml",
    "describe",
    "is_lab",
    "load",
    "quick_language",
    "set_value",
    "values",
]
