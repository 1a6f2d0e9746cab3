"""A plain llama-like GGUF file as a folder of SafeTensors. What is not plain is refused (``gguf_llama``, ``gguf_words``)."""

from __future__ import annotations

from typing import Final

from ultralab.kernel.errors import UnknownChoice, Unsupported
from ultralab.kernel.language import _
from ultralab.models.conversion.base import Options, Plan, Task
from ultralab.models.conversion.gguf_llama import KNOWN, config, network_of, places
from ultralab.models.conversion.gguf_words import words_of, written
from ultralab.models.conversion.tensors import WIDTHS, write_tensors
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.models.library import model_path
from ultralab.models.types import ModelRecord
from ultralab.system import files

RULES: Final = 1
"""Raised when the same input would give other bytes."""

LEAST: Final = 0.5
"""The share of greedy tokens that the unpacked weights must have in common with a quantized file. llama.cpp computes that one
with activations of 8 bits, so not all are the same (of SmolLM2 in Q4_1, 93 of 96 were); a mistake leaves next to none."""

_DTYPES: Final = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}
_MEMORY: Final = 512 * 1024**2  # a slab of a tensor (see ``gguf_unpack``), the lists of a vocabulary


def plan(record: ModelRecord, options: Options) -> Plan:
    """See ``base.Target``. Weights become what they are where they are not packed, else F16."""
    if options.bits or options.group_size or options.mode:
        raise Unsupported(
            _("A conversion to SafeTensors does not quantize."),
            hint=_("Convert first, then convert or quantize the result."),
        )
    if options.dtype and options.dtype not in _DTYPES:
        raise UnknownChoice.among(_("type"), options.dtype, _DTYPES)
    if record.architecture not in KNOWN:
        raise Unsupported(
            _("{ref} cannot be converted to SafeTensors: {problem}.").format(
                ref=record.ref,
                problem=_("its architecture is {name}; known: {known}").format(
                    name=record.architecture, known=", ".join(KNOWN)
                ),
            ),
            hint=_("Take the model's SafeTensors from where the GGUF was made."),
            ref=record.ref,
        )
    own = record.quantization if record.quantization in _DTYPES else "F16"
    dtype = options.dtype or own
    whole = {"F16", "BF16", "F32"} if dtype == "F32" else {dtype, "F32"}  # norms are F32 by custom
    kept = set(record.tensor_types) <= whole and dtype in ("F32", record.quantization)
    return Plan(
        format="safetensors",
        variant=f"safetensors-{dtype.lower()}",
        tool="ultralab",
        tool_version=f"gguf rules {RULES}",
        options=f"dtype={dtype}",
        lossless=kept,
        size=record.parameters * WIDTHS[dtype],
        memory=_MEMORY,
        versionless=False,
        least=LEAST,
    )


def make(task: Task) -> None:
    """See ``base.Target``. Nothing is written before the whole header is understood."""
    from ultralab.models.conversion import gguf_unpack

    raw = read_gguf(model_path(task.library, task.record))
    network = network_of(raw)
    words = words_of(raw)
    gguf_unpack.require_readable(raw)
    dtype = task.plan.options.removeprefix("dtype=")
    label = _("Converting to {target}").format(target="SafeTensors")
    with files.explained(task.to):
        task.to.mkdir()
    with task.progress.step(label, task.plan.size, "bytes") as step:
        write_tensors(task.to, gguf_unpack.unpacked(raw, places(network), dtype, step.advance))
    described = {**config(network, _DTYPES[dtype]), **words["generation_config.json"]}
    for name, content in {"config.json": described, **words}.items():
        files.write(task.to / name, written(content))
