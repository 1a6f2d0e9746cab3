"""Where this machine's own state lives, shared by every lab of this user."""

from __future__ import annotations

from pathlib import Path

from ultralab.system import environ


def machine_state() -> Path:
    """``$ULTRALAB_STATE``, else the platform's folder for a user's state."""
    if chosen := environ.read("ULTRALAB_STATE"):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_state_dir("ultralab", appauthor=False))


def machine_config() -> Path:
    """The folder ``config`` in ``$ULTRALAB_STATE``, else the platform's folder for a user's configuration: for secrets.

    Of a machine, not of a lab: a lab's folder is a repository that may be shared.
    """
    if chosen := environ.read("ULTRALAB_STATE"):
        return Path(chosen).expanduser() / "config"
    import platformdirs

    return Path(platformdirs.user_config_dir("ultralab", appauthor=False))
