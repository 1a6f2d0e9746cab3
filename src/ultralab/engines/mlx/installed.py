"""The installed mlx-lm, looked at without importing it: that would load MLX, and Metal with it, into our own process."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ultralab.engines.types import Availability
from ultralab.kernel.language import _

_BACKENDS: Final = ("mlx-metal", "mlx-cpu", "mlx-cuda", "mlx-cuda-12", "mlx-cuda-13")
"""What brings the library behind ``mlx``: on a Mac it comes by itself, elsewhere it is an extra."""


def version() -> str:
    """The framework as people know it: ``mlx-lm 0.32.2 (mlx 0.32.4)``. Raises PackageNotFoundError."""
    return f"mlx-lm {importlib.metadata.version('mlx-lm')} (mlx {importlib.metadata.version('mlx')})"


def availability() -> Availability:
    """Whether mlx-lm and a backend of MLX are installed."""
    hint = (
        _("Install it: pip install mlx-lm")
        if sys.platform == "darwin"
        else _("Install it: pip install mlx-lm 'mlx[cpu]'. Without Apple's GPU it is slow: good for tests only.")
    )
    for name in ("mlx-lm", "mlx"):
        if not _has(name):
            return Availability("", _("the package {name} is not installed").format(name=name), hint)
    if sys.platform != "darwin" and not any(_has(name) for name in _BACKENDS):
        return Availability("", _("the package mlx has no backend for this machine"), hint)
    return Availability(version())


def _has(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def model_source(config: Mapping[str, Any]) -> str:
    """The source text of mlx-lm's module for a model's ``config.json``, empty where it has none.

    Which module that is, ``mlx_lm/utils.py`` says in two tables that are literals (0.32.2, ``_get_classes``).
    """
    kind = config.get("model_type")
    folder = _folder()
    if not isinstance(kind, str) or folder is None:
        return ""
    names, by_architecture = _tables(folder)
    architectures = config.get("architectures")
    found = architectures if isinstance(architectures, list) else [architectures]
    special = [by_architecture[kind, one] for one in found if isinstance(one, str) and (kind, one) in by_architecture]
    return _source(folder, special[0] if special else names.get(kind, kind))


def _folder() -> Path | None:
    spec = importlib.util.find_spec("mlx_lm")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


@lru_cache(maxsize=4)
def _tables(folder: Path) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """``MODEL_REMAPPING`` and ``MODEL_ARCHITECTURE_REMAPPING``; empty where this version writes them otherwise."""
    said: dict[str, Any] = {}
    try:
        tree = ast.parse((folder / "utils.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}, {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict):
            try:
                said[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return said.get("MODEL_REMAPPING", {}), said.get("MODEL_ARCHITECTURE_REMAPPING", {})


@lru_cache(maxsize=8)
def _source(folder: Path, name: str) -> str:
    """The module's text, if it defines a model (others in that folder are parts that models share)."""
    if not name.replace("_", "").replace("-", "").isalnum():
        return ""
    try:
        text = (folder / "models" / f"{name}.py").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    return text if "\nclass Model(" in text and "ModelArgs" in text else ""
