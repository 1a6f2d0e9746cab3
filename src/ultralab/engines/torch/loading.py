"""A folder into a model of transformers, on the best device that is here. Runs in the engine's process only.

Weights are taken as they are stored. On a CPU that was measured (Linux, two cores, AVX-512; a llama of 67 million
parameters): bfloat16 read a prompt at 1,018 and wrote at 32 tok/s, float16 at 218 and 50, float32 at 810 and 29. So
nothing is to be won by making them float32, which would also hold them twice.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

from ultralab.engines.options import Adapter, LoadOptions
from ultralab.engines.types import Advance

_WEIGHTS = "Loading weights"  # what transformers calls the loop over the tensors
_TOKENIZER_SHARE = 0.05


def best_device() -> torch.device:
    """Metal on a Mac, CUDA where there is one, else the CPU."""
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_tokenizer(path: Path) -> Any:
    """The folder's tokenizer. Code that lies beside it never runs."""
    return transformers.AutoTokenizer.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)


def load_weights(path: Path, options: LoadOptions, advance: Advance) -> Any:
    """The folder's causal language model, ready to compute. Raises what transformers raises, and ValueError.

    ``advance`` hears of the tensors that are done, all of them being the whole.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    device = best_device()
    config = transformers.AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    more: dict[str, Any] = {}
    if not options.flash:
        more["attn_implementation"] = "eager"  # by itself it takes "sdpa" wherever a model has it
    if options.weight_bits:
        more["quantization_config"] = _bitsandbytes(options.weight_bits, config)
    if options.weight_bits or (device.type != "cpu" and importlib.util.find_spec("accelerate")):
        more["device_map"] = {"": device}  # straight to where it belongs; without accelerate in two steps
    with _counted(lambda share: advance(_TOKENIZER_SHARE + (1 - _TOKENIZER_SHARE) * share)):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(path),
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype="auto",
            **more,
        )
    if "device_map" not in more:
        model.to(device)
    model.eval()
    _adapt(model, options.adapters)
    sys.stderr.write(f"device {model.device}, weights {model.dtype}, attention {model.config._attn_implementation}\n")  # noqa: SLF001 - its only place
    return model


def _bitsandbytes(bits: int, config: Any) -> Any:
    getLogger("bitsandbytes").setLevel(ERROR)  # it says at every product of matrices that it casts to float16
    stored = getattr(config, "dtype", None)
    if bits == 8:
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=stored if isinstance(stored, torch.dtype) else torch.float32,
    )


def _adapt(model: Any, adapters: tuple[Adapter, ...]) -> None:
    """Put LoRA adapters into the model's layers, where they work together, each with its scale."""
    if not adapters:
        return
    import peft
    from peft.tuners.lora import LoraLayer

    names = [f"adapter{number}" for number in range(len(adapters))]
    wrapped: Any = None
    for name, adapter in zip(names, adapters, strict=True):
        place = str(adapter.path)
        if wrapped is None:
            wrapped = peft.PeftModel.from_pretrained(model, place, adapter_name=name, local_files_only=True)
        else:
            wrapped.load_adapter(place, adapter_name=name, local_files_only=True)
    wrapped.base_model.set_adapter(names)
    for module in model.modules():
        if isinstance(module, LoraLayer):
            for name, adapter in zip(names, adapters, strict=True):
                if name in module.scaling:
                    module.set_scale(name, adapter.scale)
    model.requires_grad_(requires_grad=False)
    model.eval()


@contextmanager
def _counted(tell: Callable[[float], None]) -> Iterator[None]:
    """While the block runs, ``tell`` hears which share of the tensors transformers has loaded."""

    def hook(factory: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if named.get("desc") == _WEIGHTS and arguments:
            return _shares(arguments[0], tell)
        return factory(*arguments, **named)

    logging.disable_progress_bar()
    before = logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def _shares(items: Any, tell: Callable[[float], None]) -> Iterator[Any]:
    whole = max(1, len(items))
    for done, item in enumerate(items, 1):
        yield item
        tell(done / whole)
