"""Where and with what an experiment runs: enough to repeat it next year."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from ultralab import __version__
from ultralab.experiments.types import Provenance
from ultralab.kernel.errors import ToolFailed
from ultralab.machine import Machine
from ultralab.pages.repository import Repository


def provenance(home: Path, machine: Machine) -> Provenance:
    """The facts of this moment; a lab without git has an empty commit."""
    try:
        commit, dirty = Repository(home, "").head()
    except ToolFailed:
        commit, dirty = "", False
    return Provenance(
        ultralab=__version__,
        python=sys.version.split()[0],
        platform=platform.platform(),
        machine=asdict(machine),
        git_commit=commit,
        git_dirty=dirty,
        packages=installed_packages(),
    )


def installed_packages() -> tuple[str, ...]:
    """``name==version`` of every installed distribution, sorted: a frozen environment."""
    found = {
        f"{distribution.name.lower()}=={distribution.version}" for distribution in importlib.metadata.distributions()
    }
    return tuple(sorted(found))
