"""Why a folder cannot be loaded with transformers, found out from its small files before anything is started.

What quantizes and what does not (transformers 5.23 and bitsandbytes 0.50.2, read; run on Linux's CPU, never on a Mac):

- ``load_in_4bit=True`` beside ``device_map="mps"`` is no argument of ``from_pretrained`` any more: transformers 5 wants a
  ``BitsAndBytesConfig``, bitsandbytes and accelerate. bitsandbytes has a backend for Metal; its pull request 1983 (July
  2026) says that every 4-bit and 8-bit configuration works there, without the optional kernels from a hub, with torch 2.9
  or newer. So 8 and 4 bits go through bitsandbytes, on the CPU, too.
- transformers' own ``MetalConfig`` fetches compiled kernels from a hub when the first token is computed: code that
  nobody chose to install. It is not used, nor are optimum-quanto, HQQ and torchao, a package more each for the same.
- GPTQ needs ``optimum`` and ``gptqmodel``, AWQ ``gptqmodel`` and ``accelerate``. gptqmodel 7.7 names Apple's GPU among its
  devices. It is built while it is installed, and none of it was run here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ultralab.engines.options import LoadOptions
from ultralab.engines.torch.architectures import causal_models
from ultralab.engines.torch.interpreter import Found
from ultralab.engines.types import Refusal
from ultralab.kernel.language import _
from ultralab.kernel.text import printable

BITSANDBYTES: Final = (0, 50)
"""The oldest bitsandbytes that is taken: the release whose Metal backend was read is 0.50.2."""

_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "gptq": ("optimum", "gptqmodel"),
    "awq": ("gptqmodel", "accelerate"),
    "bitsandbytes": ("bitsandbytes", "accelerate"),
}
_TOKENIZERS: Final = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_LARGEST: Final = 16_000_000  # bytes of a config.json; the largest known are a few kilobytes


def refusal(path: Path, options: LoadOptions, found: Found) -> Refusal | None:
    """The first thing that speaks against loading the folder ``path`` so; None where nothing does."""
    if not path.is_dir():
        return Refusal(
            _("PyTorch loads a folder with config.json, a tokenizer and *.safetensors; this is a single file."),
            _("Take the whole repository: ultralab models pull."),
        )
    if problem := _weights(path):
        return problem
    config = _read(path / "config.json")
    if config is None:
        return Refusal(_("config.json is missing, or is no JSON object."))
    return (
        _architecture(config, found)
        or (None if _has_tokenizer(path) else Refusal(_("The folder has no tokenizer.")))
        or _quantized(config, options, found)
        or _adapters(options, found)
    )


def _weights(path: Path) -> Refusal | None:
    names = [one.name for one in path.iterdir()]
    if any(name.endswith(".safetensors") for name in names):
        return None
    if pickles := sorted(name for name in names if name.endswith(_PICKLES)):
        return Refusal(
            _("Its weights are a pickle ({file}), and loading one can run any code.").format(
                file=printable(pickles[0])
            ),
            _("Convert it to SafeTensors, which reads a pickle without running it: ultralab models convert."),
        )
    return Refusal(_("The folder has no *.safetensors."))


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _architecture(config: Mapping[str, Any], found: Found) -> Refusal | None:
    known = causal_models(found.transformers)
    kind = config.get("model_type")
    if kind in known or (not known and "auto_map" not in config):
        return None
    shown = printable(str(kind), 60)
    if "auto_map" in config:
        return Refusal(
            _("The architecture {name} comes with code of its own, which is never run here.").format(name=shown),
            _("A newer transformers may know it; or take the model in GGUF or for MLX."),
        )
    return Refusal(
        _("transformers {version} generates no text with the architecture {name}.").format(
            version=found.packages.get("transformers", "-"), name=shown
        ),
        _("A newer transformers may know it; or take the model in GGUF or for MLX."),
    )


def _has_tokenizer(path: Path) -> bool:
    return any((path / name).is_file() for name in _TOKENIZERS)


def _quantized(config: Mapping[str, Any], options: LoadOptions, found: Found) -> Refusal | None:
    said = config.get("quantization_config")
    if said is None:
        return _while_loading(found) if options.weight_bits else None
    method = str(said.get("quant_method", "-")).lower() if isinstance(said, dict) else "-"
    if options.weight_bits:
        return Refusal(
            _("weight_bits is for plain weights, and these are quantized already ({method}).").format(
                method=printable(method, 40)
            )
        )
    if method not in _NEEDS:
        return Refusal(
            _("The weights are quantized by {method}, which is not used with PyTorch here.").format(
                method=printable(method, 40)
            ),
            _("Take the model in GGUF or for MLX."),
        )
    if missing := found.missing(_NEEDS[method]):
        return Refusal(
            _("Weights quantized by {method} need {packages} beside PyTorch.").format(
                method=method, packages=", ".join(missing)
            ),
            _("Install: pip install {packages}. Or make plain weights of it: ultralab models convert.").format(
                packages=" ".join(missing)
            ),
        )
    return None


def _while_loading(found: Found) -> Refusal | None:
    missing = found.missing(("bitsandbytes", "accelerate"))
    if not missing and _version(found.packages["bitsandbytes"]) >= BITSANDBYTES:
        return None
    return Refusal(
        _("Quantizing while loading needs accelerate and bitsandbytes {version} or newer beside PyTorch.").format(
            version=".".join(str(part) for part in BITSANDBYTES)
        ),
        _(
            "Install: pip install accelerate 'bitsandbytes>={version}'. On a Mac 4-bit weights are smaller and faster"
            " with MLX or llama.cpp: ultralab models convert."
        ).format(version=".".join(str(part) for part in BITSANDBYTES)),
    )


def _version(text: str) -> tuple[int, ...]:
    parts = text.split("+", maxsplit=1)[0].split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def _adapters(options: LoadOptions, found: Found) -> Refusal | None:
    if options.adapters and "peft" not in found.packages:
        return Refusal(
            _("LoRA adapters need the package peft beside PyTorch."),
            _("Install: pip install {name}").format(name="peft"),
        )
    for adapter in options.adapters:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            if not (adapter.path / name).is_file():
                return Refusal(
                    _("The adapter {path} has no {file}.").format(path=adapter.path, file=name),
                    _("An adapter for PyTorch is a folder as peft writes it, with SafeTensors."),
                )
    return None
