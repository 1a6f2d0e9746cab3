"""The process that makes an MLX model with ``mlx_lm``: so that its memory goes when it ends, and a crash is not ours.

``python -m ultralab.models.conversion.mlx_child REQUEST``; the request is JSON: ``source`` (a folder), ``to`` (a folder
that is not there yet), ``dtype`` (float16, bfloat16, float32 or empty: as it is), ``bits`` (0: not quantized),
``group_size``, ``mode``. Code that lies in the model's folder is never run.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from ultralab.models.conversion.rope_settings import for_mlx
from ultralab.system.parent import end_with_parent


def main(argv: list[str]) -> int:
    """Load lazily, change, save; the words on standard output are stages."""
    end_with_parent()
    request = json.loads(argv[0])
    mlx_lm = importlib.import_module("mlx_lm.utils")
    print("loading", flush=True)
    rope = for_mlx(Path(request["source"]))
    model, tokenizer, config = mlx_lm.load(request["source"], model_config=rope, lazy=True, return_config=True)
    model = _changed(mlx_lm, model, config, request)
    if request["bits"]:
        print("quantizing", flush=True)
        model, config = mlx_lm.quantize_model(
            model, config, request["group_size"], request["bits"], mode=request["mode"]
        )
    print("saving", flush=True)
    to = Path(request["to"])
    mlx_lm.save_model(to, model, donate_model=True)
    mlx_lm.save_config(config, config_path=to / "config.json")
    tokenizer.save_pretrained(to)
    return 0


def _changed(mlx_lm: Any, model: Any, config: dict[str, Any], request: dict[str, Any]) -> Any:
    """The model unpacked, where it is packed and shall be packed otherwise, and in the wanted type."""
    mx: Any = importlib.import_module("mlx.core")
    tree: Any = importlib.import_module("mlx.utils")
    if config.get("quantization"):
        model = mlx_lm.dequantize_model(model)
        config.pop("quantization", None)
        config.pop("quantization_config", None)
    if request["dtype"]:
        dtype = getattr(mx, request["dtype"])
        wanted = getattr(model, "cast_predicate", lambda _name: True)

        def cast(name: str, value: Any) -> Any:
            return value.astype(dtype) if wanted(name) and mx.issubdtype(value.dtype, mx.floating) else value

        model.update(tree.tree_map_with_path(cast, model.parameters()))
        for key in {"torch_dtype", "dtype"} & config.keys():
            config[key] = request["dtype"]
    return model


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
