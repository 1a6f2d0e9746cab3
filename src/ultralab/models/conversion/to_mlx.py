"""To MLX, by ``mlx_lm`` in a process of its own. Source of the modes' numbers: ``mlx_lm.utils.quantize_model``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import RequestError, UnknownChoice, Unsupported
from ultralab.kernel.language import _
from ultralab.models.conversion.base import Options, Plan, Task
from ultralab.models.conversion.tool import run_tool
from ultralab.models.types import ModelRecord
from ultralab.system import files

_DTYPES: Final = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}
_WIDTHS: Final = {"F16": 16, "BF16": 16, "F32": 32}
_AFFINE_BITS: Final = (2, 3, 4, 5, 6, 8)
_AFFINE_GROUPS: Final = (32, 64, 128)
_FIXED: Final = {"mxfp4": (4, 32), "nvfp4": (4, 16), "mxfp8": (8, 32)}
_BASE_MEMORY: Final = 1024**3
_SHARD: Final = 5 * 1024**3  # mlx_lm's MAX_FILE_SIZE_GB


class ToMlx:
    """HF SafeTensors, or another MLX model, as MLX."""

    sources: frozenset[str] = frozenset({"safetensors", "mlx"})

    def plan(self, record: ModelRecord, options: Options) -> Plan:
        """See ``base.Target``. Memory: mlx loads lazily and saves file by file, so a file's weights, before and after."""
        if importlib.util.find_spec("mlx_lm") is None:
            raise Unsupported(
                _("MLX models are made by {program}, which is not here.").format(program="mlx_lm"),
                hint=_("On an Apple-silicon Mac it comes with ultralab; elsewhere: pip install mlx-lm 'mlx[cpu]'"),
            )
        bits, group, mode = quantization_of(options)
        dtype = options.dtype or (record.dtype if record.dtype in _DTYPES and not bits else "")
        if dtype and dtype not in _DTYPES:
            raise UnknownChoice.among(_("type"), dtype, _DTYPES)
        packed = record.format == "mlx" and bool(record.bits_per_weight) and record.bits_per_weight < 15
        if packed and not bits and not options.dtype:
            raise RequestError(
                _("{ref} is an MLX model already.").format(ref=record.ref),
                hint=_("Say what it shall become: --bits, --mode or --dtype."),
                ref=record.ref,
            )
        width = bits + (32 / group if mode == "affine" else 8 / group) if bits else _WIDTHS.get(dtype, 16)
        words = [f"bits={bits}", f"group_size={group}", f"mode={mode}"] if bits else []
        size = int(record.parameters * width / 8)
        return Plan(
            format="mlx",
            variant=_variant(bits, group, mode, dtype),
            tool="mlx_lm",
            tool_version=f"mlx_lm {importlib.metadata.version('mlx-lm')}, mlx {importlib.metadata.version('mlx')}",
            options=" ".join([*words, f"dtype={dtype}"] if dtype else words),
            lossless=not bits and not packed and dtype in ("", record.dtype),
            size=size,
            memory=_BASE_MEMORY + min(record.size, 4 * _SHARD) + min(size, _SHARD),
        )

    def make(self, task: Task) -> None:
        """See ``base.Target``."""
        bits, group, mode = quantization_of(task.options)
        dtype = task.options.dtype or ("" if bits else task.record.dtype)
        request = {
            "source": str(task.source),
            "to": str(task.to),
            "dtype": _DTYPES.get(dtype, ""),
            "bits": bits,
            "group_size": group,
            "mode": mode,
        }
        argv = (sys.executable, "-m", "ultralab.models.conversion.mlx_child", json.dumps(request))
        with task.progress.step(_("Converting to {target}").format(target="MLX"), task.plan.size, "bytes") as step:
            written = [0]

            def tick() -> None:
                now = min(task.plan.size, folder_size(task.to))
                step.advance(max(0, now - written[0]))
                written[0] = max(now, written[0])

            run_tool(argv, log=task.scratch / "tool.log", name="mlx_lm", tick=tick)
        _tidy(task.to, task.source)


def quantization_of(options: Options) -> tuple[int, int, str]:
    """Bits, group size and mode, defaults filled in; bits 0: not quantized. Raises RequestError, UnknownChoice."""
    mode = options.mode or "affine"
    if mode in _FIXED:
        bits, group = _FIXED[mode]
        if options.bits in (0, bits) and options.group_size in (0, group):
            return bits, group, mode
        known = f"{bits}/{group}"
    elif mode == "affine":
        if not options.bits and not options.group_size:
            return (4, 64, mode) if options.mode else (0, 0, "")
        bits, group = options.bits or 4, options.group_size or 64
        if bits in _AFFINE_BITS and group in _AFFINE_GROUPS:
            return bits, group, mode
        known = f"{list(_AFFINE_BITS)}/{list(_AFFINE_GROUPS)}"
    else:
        raise UnknownChoice.among(_("mode"), mode, ("affine", *_FIXED))
    raise RequestError(
        _("MLX's mode {mode} has no {bits} bits in groups of {group}.").format(
            mode=mode, bits=options.bits or bits, group=options.group_size or group
        ),
        hint=_("Known bits and group sizes: {known}.").format(known=known),
    )


def folder_size(folder: Path) -> int:
    """Bytes of the files directly in a folder, 0 while there is none."""
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:  # it is being filled
        return 0


def _variant(bits: int, group: int, mode: str, dtype: str) -> str:
    if not bits:
        return f"mlx-{dtype.lower()}" if dtype else "mlx"
    return f"mlx-{bits}bit-g{group}" if mode == "affine" else f"mlx-{mode}"


def _tidy(to: Path, source: Path) -> None:
    """Take along what mlx_lm leaves behind; leave what it takes along and may run."""
    with files.explained(to):
        for path in to.glob("*.py"):
            path.unlink()
        kept = source / "generation_config.json"
        if kept.is_file() and not (to / kept.name).exists():
            (to / kept.name).write_bytes(kept.read_bytes())


TARGET = ToMlx()
