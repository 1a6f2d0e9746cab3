"""Why mlx-lm cannot load a model, told from small files beside its weights (mlx-lm 0.32.2, ``utils.load_model``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ultralab.engines.mlx import installed
from ultralab.engines.options import LoadOptions
from ultralab.engines.types import ModelFile, Refusal
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.planner.mlx import mlx_cache
from ultralab.planner.types import Demand

_LARGEST: Final = 16 * 1024 * 1024
_PACKED: Final = frozenset({"bitnet", "mxfp4", "mxfp8"})
_COMPRESSED: Final = frozenset({"nvfp4-pack-quantized", "mxfp4-pack-quantized", "pack-quantized"})
_ONE_BY_ONE: Final = ("ChunkedKVCache(", "ConcatenateKVCache(", "class LayerCache")
"""Caches that cannot become one batch (they have no ``merge``), as a model's source names them."""

_GROUPS: Final = (32, 64, 128)
"""Sizes of groups that MLX's affine quantization has."""


def folder_of(path: Path) -> Path:
    """The folder that mlx-lm loads: the model's own, or the one that its file lies in."""
    return path if path.is_dir() else path.parent


def refusal(model: ModelFile, options: LoadOptions) -> Refusal | None:
    """The first thing that speaks against loading a model so; None where nothing is known to."""
    config = _read(folder_of(model.path) / "config.json")
    if config is None:
        return Refusal(_("it has no config.json that can be read; mlx-lm builds a model from that."))
    return _of_model(config) or _of_options(model, config, options)


def _of_model(config: Mapping[str, Any]) -> Refusal | None:
    if config.get("model_file") is not None:
        return Refusal(
            _("its config.json names Python code to run ({name}). No model's code is run here.").format(
                name=printable(str(config["model_file"]), 80)
            )
        )
    source = installed.model_source(config)
    if not source:
        return Refusal(
            _("mlx-lm does not know the architecture {name}.").format(
                name=printable(str(config.get("model_type", "?")), 80)
            ),
            _("A newer mlx-lm may know it: pip install --upgrade mlx-lm"),
        )
    return _of_packing(config, source)


def _of_packing(config: Mapping[str, Any], source: str) -> Refusal | None:
    """What ``load_model`` does not unpack fails after all weights were read, or, worse, is taken for something else."""
    if isinstance(config.get("quantization"), dict):
        return None
    inner = config.get("text_config")
    said = config.get("quantization_config") or (inner.get("quantization_config") if isinstance(inner, dict) else None)
    if not isinstance(said, dict):
        return None
    method = said.get("quant_method")
    settings = said.get("quantization")
    algorithm = settings.get("quant_algo") if isinstance(settings, dict) else said.get("quant_algo")
    if (
        method in _PACKED
        or (method == "compressed-tensors" and said.get("format") in _COMPRESSED)
        or (method == "modelopt" and algorithm == "NVFP4")
        or (method == "fp8" and (said.get("scale_fmt") == "ue8m0" or "weight_scale_inv" in source))
    ):
        return None
    if method == "awq":
        return _of_awq(said)
    return Refusal(
        _("mlx-lm cannot read weights that are packed as {method}.").format(method=printable(str(method), 80)),
        _("Take the model unpacked, or convert it: ultralab models convert"),
    )


def _of_awq(said: Mapping[str, Any]) -> Refusal | None:
    """mlx-lm unpacks version gemm, 4 bits."""
    gemm = str(said.get("version") or "gemm").lower() == "gemm"
    if gemm and said.get("bits", 4) == 4 and said.get("group_size", 128) in _GROUPS:
        return None
    return Refusal(_("mlx-lm reads AWQ only in version gemm, 4 bits, with groups of 32, 64 or 128."))


def _of_options(model: ModelFile, config: Mapping[str, Any], options: LoadOptions) -> Refusal | None:
    quantized = options.key_type != "f16"
    if options.key_type != options.value_type:
        return Refusal(_("mlx-lm stores keys and values alike: key_type and value_type must be the same."))
    if quantized and options.parallel > 1:
        return Refusal(_("mlx-lm cannot serve several requests at once from a quantized cache: parallel must be 1."))
    if options.parallel > 1 and any(name in installed.model_source(config) for name in _ONE_BY_ONE):
        return Refusal(
            _("mlx-lm cannot serve several requests at once with the architecture {name}: parallel must be 1.").format(
                name=printable(str(config.get("model_type")), 80)
            )
        )
    if quantized:
        kinds = Demand(options.context, key_type=options.key_type, value_type=options.value_type)
        try:
            mlx_cache(model.shape, kinds)
        except UltralabError as error:
            return Refusal(error.message, error.hint)
    return _of_draft(config, options) or _of_adapters(options)


def _of_draft(config: Mapping[str, Any], options: LoadOptions) -> Refusal | None:
    if options.draft is None:
        return None
    if options.parallel > 1:
        return Refusal(_("mlx-lm drafts for one request at a time: parallel must be 1 with a draft model."))
    draft = _read(folder_of(options.draft) / "config.json")
    if draft is None:
        return Refusal(_("the draft model {path} has no config.json that can be read.").format(path=options.draft))
    if problem := _of_model(draft):
        return Refusal(_("the draft model: {reason}").format(reason=problem.reason), problem.hint)
    if _vocabulary(draft) != _vocabulary(config):
        return Refusal(
            _("the draft model has another vocabulary ({draft} tokens, not {model}).").format(
                draft=_vocabulary(draft), model=_vocabulary(config)
            ),
            _("Take a small model of the same family."),
        )
    return None


def _of_adapters(options: LoadOptions) -> Refusal | None:
    if not options.adapters:
        return None
    if len(options.adapters) > 1:
        return Refusal(_("mlx-lm takes one adapter."), _("Fuse the others into the weights first: mlx_lm.fuse"))
    [adapter] = options.adapters
    said = _read(adapter.path / "adapter_config.json")
    if said is None or not (adapter.path / "adapters.safetensors").is_file():
        return Refusal(
            _(
                "{path} is no adapter of mlx-lm: it wants a folder with adapter_config.json and adapters.safetensors."
            ).format(path=adapter.path)
        )
    if said.get("fine_tune_type", "lora") == "full":
        if adapter.scale != 1.0:
            return Refusal(_("{path} holds whole weights, which have no scale.").format(path=adapter.path))
    elif "num_layers" not in said or not isinstance(said.get("lora_parameters"), dict):
        return Refusal(
            _("{path} was not made by mlx-lm (its adapter_config.json names no lora_parameters).").format(
                path=adapter.path
            ),
            _("Adapters of the peft library must be converted first."),
        )
    return None


def _vocabulary(config: Mapping[str, Any]) -> object:
    inner = config.get("text_config")
    return config.get("vocab_size", inner.get("vocab_size") if isinstance(inner, dict) else None)


def _read(path: Path) -> dict[str, Any] | None:
    """A small JSON object; None where there is none."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(_LARGEST + 1)
        found = json.loads(raw) if len(raw) <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
