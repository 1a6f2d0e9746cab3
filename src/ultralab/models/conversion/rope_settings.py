"""How a model's configuration says its rotary positions, in words that ``mlx_lm`` understands. Standard library only.

Transformers 5 writes one key, ``rope_parameters``; most architectures of ``mlx_lm`` 0.32 read only the two it had before,
``rope_theta`` and ``rope_scaling``, and silently take their defaults where these are missing: the model loads and talks
fluent nonsense. Source: ``LlamaConfig`` of transformers 5 and ``mlx_lm.models.llama.ModelArgs``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_PLAIN: Final = ("default", None)
_BESIDE: Final = ("rope_theta", "partial_rotary_factor")
"""What stood beside ``rope_scaling``, not in it."""


def with_older_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be added to a configuration: empty where it says it in the older keys, too, or says nothing.

    Parameters by layer type have no older form; whoever has them reads ``rope_parameters``.
    """
    added = _of_one(config)
    if isinstance(inner := config.get("text_config"), dict) and (more := _of_one(inner)):
        added["text_config"] = {**inner, **more}
    return added


def for_mlx(folder: Path) -> dict[str, Any]:
    """The same for a model's folder, for ``model_config`` of ``mlx_lm.load``. Raises OSError, ValueError."""
    config = json.loads((folder / "config.json").read_bytes())
    return with_older_keys(config) if isinstance(config, dict) else {}


def _of_one(config: Mapping[str, Any]) -> dict[str, Any]:
    said = config.get("rope_parameters")
    if not isinstance(said, dict) or any(isinstance(value, dict) for value in said.values()):
        return {}
    added = {key: said[key] for key in _BESIDE if key in said and config.get(key) is None}
    kind = said.get("rope_type", said.get("type"))
    if kind not in _PLAIN and not config.get("rope_scaling"):
        added["rope_scaling"] = {key: value for key, value in said.items() if key not in _BESIDE}
    return added
