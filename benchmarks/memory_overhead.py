"""What llama.cpp's process holds beyond its buffers, for vocabularies and contexts of several sizes.

    .venv/bin/python benchmarks/memory_overhead.py MODEL.gguf

Cuts or pads the vocabulary of a small llama-architecture model (its text becomes nonsense, its memory does not), loads
each variant through the product's own engine seam, reads one full micro-batch, and prints the planned memory against
the measured one. The constants in ``ultralab.planner.memory`` were fitted on such rows.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from ultralab.engines import engine
from ultralab.engines.base import LoadOptions, ModelFile
from ultralab.engines.host import Request, loaded
from ultralab.machine import read_machine
from ultralab.memory import open_ledger
from ultralab.models.bundles import from_path
from ultralab.models.formats.gguf import FORMAT

VOCABULARIES = (8192, 24576, 49152, 98304)
CONTEXTS = (1024, 4096)
MERGES_LESS = 260  # a byte-level vocabulary begins with its bytes and special tokens, which no merge makes
_EMBEDDING = "token_embd.weight"


def main(source: Path) -> None:
    """Print one row per variant."""
    print("| vocabulary | context | planned | measured | plan / measured |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for vocabulary in VOCABULARIES:
            model = Path(folder) / f"{vocabulary}.gguf"
            with_vocabulary(source, model, vocabulary)
            for context in CONTEXTS:
                planned, measured = weigh(model, context, Path(folder))
                row = (vocabulary, context, f"{planned / 1e6:.1f} MB", f"{measured / 1e6:.1f} MB")
                print("|", *(f"{cell} |" for cell in (*row, f"{planned / measured:.3f}")), flush=True)
            model.unlink()


def weigh(model: Path, context: int, folder: Path) -> tuple[int, int]:
    """Bytes planned and bytes held after one full micro-batch."""
    machine = read_machine(measure=False)
    llamacpp = engine("llamacpp")
    shape = FORMAT.read_header(from_path(model)).shape
    options = LoadOptions(context=context, threads=machine.performance_cores)
    ledger = open_ledger(folder, machine.limit_bytes)
    with loaded(
        llamacpp, Request(ModelFile(model, model.stem, "gguf", shape), options), ledger=ledger, log=folder / "log"
    ) as running:
        running.client.generate([100] * 512, 4, seed=1)
        return llamacpp.plan(shape, options).total, running.footprint()


def with_vocabulary(source: Path, target: Path, count: int) -> None:
    """Write ``source`` with its first ``count`` tokens, or with made-up ones behind its own."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    for field in reader.fields.values():
        if field.name != "general.architecture" and not field.name.startswith("GGUF."):
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, _resized(field.name, field.contents(), count), kind, sub_type=inner)
    data = []
    for tensor in reader.tensors:
        rows = np.resize(tensor.data, (count, *tensor.data.shape[1:])) if tensor.name == _EMBEDDING else tensor.data
        writer.add_tensor_info(tensor.name, rows.shape, rows.dtype, rows.nbytes, raw_dtype=tensor.tensor_type)
        data.append(rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for rows in data:
        writer.write_tensor_data(rows)
    writer.close()


def _resized(name: str, value: Any, count: int) -> Any:
    if name.endswith("vocab_size"):
        return count
    if name == "tokenizer.ggml.tokens":
        return value[:count] + [f"zq{number:06d}" for number in range(count - len(value))]
    if name == "tokenizer.ggml.token_type":
        return value[:count] + [1] * (count - len(value))
    if name == "tokenizer.ggml.merges":
        return value[: max(1, count - MERGES_LESS)] + [f"zq{number} zq" for number in range(count - len(value))]
    return value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
