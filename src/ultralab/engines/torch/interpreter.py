"""What the interpreter that runs PyTorch has: asked without importing anything heavy, and without being remembered."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import ToolFailed
from ultralab.kernel.language import _
from ultralab.system import process

PACKAGES: Final = (
    "torch", "transformers", "safetensors", "accelerate", "bitsandbytes", "peft", "gptqmodel", "optimum",
)  # fmt: skip
"""Distributions that decide what this engine can do. Each is imported under its own name."""

NEEDED: Final = ("torch", "transformers", "safetensors")
OLDEST: Final = (3, 11)

_SECONDS = 20.0  # an interpreter on a disk that sleeps

_QUESTION: Final = """
import importlib.metadata, importlib.util, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
spec = importlib.util.find_spec("transformers")
places = list(spec.submodule_search_locations or []) if spec else []
print(json.dumps({"python": sys.version_info[:2], "packages": found, "transformers": places[0] if places else ""}))
"""


@dataclass(frozen=True)
class Found:
    """An interpreter's Python version, its packages' versions by name, and the folder of its transformers (or None).

    ``trouble``: why nothing could be learnt (translated), else empty.
    """

    packages: Mapping[str, str]
    transformers: Path | None = None
    python: tuple[int, int] = OLDEST
    trouble: str = ""

    def missing(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of ``names`` that are not installed, in their order."""
        return tuple(name for name in names if name not in self.packages)


def own(python: str) -> bool:
    """Whether ``python`` (empty: unset) is the interpreter that runs now."""
    return python in ("", sys.executable)


def look(python: str) -> Found:
    """What an interpreter has; nothing of it is imported here. Never raises; another interpreter is started once."""
    return _here() if own(python) else _there(python)


def _here() -> Found:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    spec = importlib.util.find_spec("transformers")
    places = list(spec.submodule_search_locations or []) if spec else []
    return Found(versions, Path(places[0]) if places else None, (sys.version_info[0], sys.version_info[1]))


def _there(python: str) -> Found:
    try:
        answer = process.run((python, "-c", _QUESTION, *PACKAGES), timeout=_SECONDS)
        said = json.loads(answer.stdout.strip().splitlines()[-1])
        place = str(said["transformers"])
        version = (int(said["python"][0]), int(said["python"][1]))
        packages = {str(name): str(value) for name, value in said["packages"].items()}
    except ToolFailed as error:
        if "status" not in error.data:  # it could not even be started
            return Found({}, trouble=error.message)
        return Found({}, trouble=_("{python} is no Python interpreter.").format(python=python))
    except (ValueError, LookupError, TypeError, AttributeError):
        return Found({}, trouble=_("{python} is no Python interpreter.").format(python=python))
    return Found(packages, Path(place) if place else None, version)
