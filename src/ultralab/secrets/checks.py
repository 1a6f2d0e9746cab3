"""What ``ultralab doctor`` asks of the secrets."""

from __future__ import annotations

import shlex
import stat

from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import N_, _
from ultralab.secrets.verbs import Secrets


def doctor_checks(secrets: Secrets) -> tuple[Check, ...]:
    """Nobody else can read the secrets' file."""
    return (Check("secrets.file", N_("The file of secrets"), lambda: _private(secrets)),)


def _private(secrets: Secrets) -> Finding:
    store = secrets.file
    try:
        if not store.path.exists():
            return Finding("pass", _("There is none: {path}").format(path=store.path))
        names = store.names()
        mode = stat.S_IMODE(store.folder.stat().st_mode)
    except UltralabError as error:
        return Finding("fail", error.message, error.hint)
    except OSError as error:
        return Finding("fail", str(error), _("Check the path and its permissions."))
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        detail = _("Others can enter {path} (mode {mode}).").format(path=store.folder, mode=f"{mode:04o}")
        return Finding(
            "warn", detail, _("Run: {command}").format(command=f"chmod 700 {shlex.quote(str(store.folder))}")
        )
    return Finding(
        "pass", _("{path}: only you can read it ({count} secrets)").format(path=store.path, count=len(names))
    )
