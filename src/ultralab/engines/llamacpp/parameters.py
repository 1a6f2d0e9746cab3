"""Load options as ``xllamacpp.CommonParams``: only the engine's own process imports this.

Source of the fields: llama.cpp ``common/common.h`` (``common_params``), which xllamacpp mirrors name by name. What is set
beside the options, and why:

- loopback only, a port that the system picks, an API key, no web interface;
- weights are mapped from the file and not repacked (``no_extra_bufts``): on CPUs that would hold Q4_0 and MXFP4
  weights twice, and the memory plan would no longer follow from the header;
- no prompt cache in memory beyond the sequences themselves, no automatic fitting of options (the planner decides);
- a cache of its own for each sequence (``kv_unified`` off): each has the whole context, whatever the others do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import xllamacpp


def parameters(model: str, options: Mapping[str, Any], secret: str, *, pooled: bool = True) -> Any:
    """The library's parameters for a load. ``pooled``: the model's header says how it pools embeddings.

    ``options`` is what ``engines.options.to_json`` wrote, as JSON has it: importing the record itself
    takes longer than importing the library.
    """
    found = xllamacpp.CommonParams()
    found.model.path = model
    found.hostnames = ["127.0.0.1"]
    found.port = 0
    found.api_keys = [secret]
    found.ui = False
    found.no_extra_bufts = True
    found.cache_ram_mib = 0
    found.cache_idle_slots = False
    found.fit_params = False
    found.use_jinja = True
    found.endpoint_slots = True
    found.sampling.seed = options["seed"]
    found.chat_template = options["chat_template"]
    _set_threads(found, options["threads"])
    _set_context(found, options)
    _set_attached(found, options)
    if options["embeddings"]:
        found.embedding = True
        found.n_batch = found.n_ubatch  # a text is embedded in one piece (llama.cpp#12836)
        if not pooled:  # llama.cpp's default for such a model is a vector per token
            found.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return found


def _set_threads(found: Any, threads: int) -> None:
    if not threads:
        return
    for group in (found, found.speculative.draft):
        group.cpuparams.n_threads = threads
        group.cpuparams_batch.n_threads = threads


def _set_context(found: Any, options: Mapping[str, Any]) -> None:
    """``n_ctx`` is that of all sequences together (``llama-context.cpp``: ``n_ctx_seq = n_ctx / n_seq_max``)."""
    flash = xllamacpp.llama_flash_attn_type
    found.n_ctx = options["context"] * options["parallel"]
    found.n_parallel = options["parallel"]
    found.kv_unified = False
    found.n_batch = options["batch"]
    found.n_ubatch = options["ubatch"]
    found.cache_type_k = _cache_type(options["key_type"])
    found.cache_type_v = _cache_type(options["value_type"])
    found.flash_attn_type = (
        flash.LLAMA_FLASH_ATTN_TYPE_ENABLED if options["flash"] else flash.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )


def _set_attached(found: Any, options: Mapping[str, Any]) -> None:
    """The files beside the model; the draft's own cache stays in f16, as its heads may be narrower than a block."""
    if options["draft"] is not None:
        found.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        found.speculative.draft.mparams.path = options["draft"]
    if options["projector"] is not None:
        found.mmproj.path = options["projector"]
    if options["adapters"]:
        found.lora_adapters = [
            xllamacpp.CommonAdapterLoraInfo(path=one["path"], scale=one["scale"]) for one in options["adapters"]
        ]
    if options["prompt_cache"] is not None:
        found.slot_save_path = options["prompt_cache"]["folder"] + os.sep  # a file's name is put right behind it


def _cache_type(name: str) -> Any:
    return getattr(xllamacpp.ggml_type, f"GGML_TYPE_{name.upper()}")
