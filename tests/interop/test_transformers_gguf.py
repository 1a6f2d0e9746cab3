"""What transformers reads of a GGUF file (``from_pretrained(gguf_file=…)``), and what it leaves out without a word.

A plain llama comes out right. What is left out makes fluent nonsense: rotary scaling, in both forms in which GGUF has it,
and the way a text is cut before its bytes are merged. When one of these fails, transformers has learnt it: say so in
docs/interoperability.md. Ultralab never takes this route: its PyTorch engine loads SafeTensors only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from tests.interop import smollm2 as routes
from tests.interop.running import running

from ultralab.engines.tiny import PROMPTS, TOKENS, encode, greedy

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.torch]

PROMPT = encode(PROMPTS[1])


def changed(source: Path, to: Path, change: Callable[[GGUFWriter], None]) -> Path:
    """A copy with more keys or tensors."""
    writer = GGUFWriter(to, "llama")
    reader = GGUFReader(source)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            inner = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return to


def by_transformers(path: Path) -> tuple[int, ...]:
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    given = torch.tensor([PROMPT])
    found = model.generate(given, attention_mask=given * 0 + 1, max_new_tokens=TOKENS, do_sample=False, pad_token_id=0)
    return tuple(found[0, len(PROMPT) :].tolist())


def by_llamacpp(path: Path, scratch: Path) -> tuple[int, ...]:
    with running("llamacpp", path, scratch) as client:
        return client.generate(PROMPT, TOKENS, seed=1).tokens


def linear(writer: GGUFWriter) -> None:
    """Positions four times as near, as long-context models of 2023 have them."""
    writer.add_string("llama.rope.scaling.type", "linear")
    writer.add_float32("llama.rope.scaling.factor", 4.0)


def factors(writer: GGUFWriter) -> None:
    """A divisor for each frequency, as files of Llama 3.1 and later have them."""
    writer.add_tensor("rope_freqs.weight", np.array([1, 1, 2, 4, 8, 8, 8, 8], np.float32))


def test_a_plain_llama_comes_out_right(tiny_gguf: Path) -> None:
    assert by_transformers(tiny_gguf) == greedy(PROMPT).tokens


@pytest.mark.parametrize("change", [linear, factors])
def test_rotary_scaling_is_lost(tiny_gguf: Path, tmp_path: Path, change: Callable[[GGUFWriter], None]) -> None:
    path = changed(tiny_gguf, tmp_path / "scaled.gguf", change)
    assert by_llamacpp(path, tmp_path) != greedy(PROMPT).tokens, "llama.cpp reads it"
    assert by_transformers(path) == greedy(PROMPT).tokens, "transformers computes the model without it"


def test_the_way_of_cutting_is_lost(smollm2: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    (tmp_path / "smollm2.gguf").symlink_to(smollm2)
    right: Any = right_tokenizer(smollm2, tmp_path / "hf")
    found: Any = AutoTokenizer.from_pretrained(tmp_path, gguf_file="smollm2.gguf")
    assert found("The fox").input_ids == right("The fox").input_ids
    with running("llamacpp", smollm2, tmp_path) as client:
        for text in ("x  1", "[1,  22]"):
            assert client.tokenize(text) == tuple(right(text).input_ids) != tuple(found(text).input_ids)


def right_tokenizer(source: Path, folder: Path) -> Any:
    from transformers import AutoTokenizer

    folder.mkdir()
    routes.write_tokenizer(routes.keys(source), folder)
    return AutoTokenizer.from_pretrained(folder)
