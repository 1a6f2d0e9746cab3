"""GPTQ, AWQ and plain llama-like GGUF to SafeTensors, by our own numpy code (``dequantize``, ``gguf_unpack``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.kernel.language import _
from ultralab.models.conversion import from_gguf
from ultralab.models.conversion.base import Options, Plan, Task
from ultralab.models.conversion.dequantize import dequantization_memory, dequantize, dequantized_size, packing_of
from ultralab.models.types import ModelRecord
from ultralab.system import files

RULES: Final = 1
"""Raised when the same input would give other bytes."""

_SEPARATE: Final = ("quantize_config.json", "quant_config.json")
"""Where AutoGPTQ and AutoAWQ put the configuration before it stood in config.json."""

_MOST_CONFIG: Final = 4 * 1024 * 1024
_LARGEST_TENSOR: Final = 2 * 1024**3  # bytes of a packed matrix; the memory that is asked for holds one, not the model


class ToSafetensors:
    """Packed weights as F16; those of a GGUF file as F16, BF16 or F32."""

    sources: frozenset[str] = frozenset({"gptq", "awq", "gguf"})

    def plan(self, record: ModelRecord, options: Options) -> Plan:
        """See ``base.Target``."""
        if record.format == "gguf":
            return from_gguf.plan(record, options)
        if options.bits or options.group_size or options.mode or options.dtype not in ("", "F16"):
            raise Unsupported(
                _("Packed weights become F16, nothing else."),
                hint=_("Convert first, then convert or quantize the result."),
            )
        return Plan(
            format="safetensors",
            variant="safetensors-f16",
            tool="ultralab",
            tool_version=f"rules {RULES}",
            options="dtype=F16",
            lossless=True,
            size=dequantized_size(record.parameters),
            memory=dequantization_memory(min(record.size, _LARGEST_TENSOR)),
            versionless=False,
        )

    def make(self, task: Task) -> None:
        """See ``base.Target``."""
        if task.record.format == "gguf":
            from_gguf.make(task)
            return
        names = [file.name for file in task.record.files]
        weights = [task.source / name for name in names if name.endswith(".safetensors")]
        config = _config(task.source / "config.json")
        label = _("Converting to {target}").format(target="SafeTensors")
        with files.explained(task.to):
            task.to.mkdir()
        with task.progress.step(label, task.plan.size, "bytes") as step:
            made = dequantize(weights, packing_of(_packing(task.source, config)), task.to, step.advance)
        files.write(task.to / "config.json", json.dumps(_without_packing(config), indent=2, ensure_ascii=False) + "\n")
        for name in names:
            if not (task.to / name).exists() and name not in made and _belongs(name):
                with files.explained(task.to / name):
                    (task.to / name).parent.mkdir(parents=True, exist_ok=True)
                    (task.to / name).symlink_to(task.source / name)


def _belongs(name: str) -> bool:
    return name not in _SEPARATE and not name.endswith((".safetensors", ".safetensors.index.json", ".py"))


def _packing(source: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    for holder in (config, config.get("text_config")):
        if isinstance(holder, dict) and isinstance(found := holder.get("quantization_config"), dict):
            return found
    for name, method in zip(_SEPARATE, ("gptq", "awq"), strict=True):
        if (source / name).is_file():
            return {"quant_method": method, **_config(source / name)}
    raise Unsupported(
        _("{path} does not say how its weights are packed.").format(path=source),
        hint=_("Known: GPTQ (checkpoint formats gptq and gptq_v2; 2, 3, 4, 8 bits) and AWQ (version gemm; 4 bits)."),
    )


def _without_packing(config: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    for key in ("torch_dtype", "dtype"):
        if key in plain:
            plain[key] = "float16"
    if isinstance(inner := plain.get("text_config"), dict):
        plain["text_config"] = _without_packing(inner)
    return plain


def _config(path: Path) -> dict[str, Any]:
    """A small JSON object. Raises FileDamaged, NotFound, FileAccess."""
    with files.explained(path), path.open("rb") as stream:
        content = stream.read(_MOST_CONFIG + 1)
    try:
        data = json.loads(content) if len(content) <= _MOST_CONFIG else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise FileDamaged(
            _("{path} is no JSON object of a few MiB.").format(path=path), hint=_("Get the file again."), path=str(path)
        )
    return data


TARGET = ToSafetensors()
