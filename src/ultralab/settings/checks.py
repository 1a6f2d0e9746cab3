"""What `ultralab doctor` asks of the settings."""

from __future__ import annotations

from pathlib import Path

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_, _
from ultralab.settings.file import LAB_FILE, is_lab, load


def doctor_checks(home: Path) -> tuple[Check, ...]:
    """``lab.toml`` is there and valid."""
    return (Check("settings.file", N_("The lab's settings"), lambda: _valid(home)),)


def _valid(home: Path) -> Finding:
    path = home / LAB_FILE
    if not is_lab(home):
        detail = _("{path} is not there; the defaults hold").format(path=path)
        return Finding("warn", detail, _("Make the lab with: ultralab init"))
    try:
        load(home)
    except UltralabError as error:
        return Finding("fail", error.message, error.hint)
    return Finding("pass", str(path))
