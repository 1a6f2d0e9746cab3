"""GGUF to SafeTensors: numbers, tokenizer and template come out as they went in, and what is not plain is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize
from safetensors.numpy import load_file
from tests.unit.models.conversion.folders import FORMATS, take_file

from ultralab.engines.tiny import TEMPLATE, write_gguf, write_hf
from ultralab.engines.tiny.gguf_file import gguf_name
from ultralab.engines.tiny.shape import SHAPE
from ultralab.engines.tiny.weights import weights
from ultralab.kernel.errors import FileDamaged, UnknownChoice, Unsupported
from ultralab.models import ConversionOptions, Library, convert, model_path, quantize, records
from ultralab.models.conversion.gguf_llama import Place, network_of
from ultralab.models.conversion.gguf_unpack import unpacked
from ultralab.models.conversion.gguf_words import words_of
from ultralab.models.formats.gguf_reader import read_gguf

Change = Callable[[dict[str, Any], dict[str, Any]], None]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "lab")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def changed(source: Path, to: Path, change: Change, architecture: str = "llama") -> Path:
    """A copy with other keys or tensors; a value that is an array becomes a tensor."""
    reader = GGUFReader(source)
    keys: dict[str, Any] = {
        name.replace("llama.", f"{architecture}.", 1): field.contents()
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.") and name != "general.architecture"
    }
    tensors: dict[str, Any] = {tensor.name: tensor.data for tensor in reader.tensors}
    change(keys, tensors)
    writer = GGUFWriter(to, architecture)
    for name, value in keys.items():
        kind = GGUFValueType.get_type(value)
        inner = GGUFValueType.get_type(value[0]) if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, GGUFValueType.UINT32 if kind == GGUFValueType.INT32 else kind, inner)
    for name, array in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return to


def judged(record: Any) -> str:
    assert record.derived is not None
    return str(record.derived["judged"])


def test_the_tiny_model_comes_out_as_it_was_made(library: Library, tiny: Path, tmp_path: Path) -> None:
    parent = take_file(library, tiny)
    made = convert(library, parent, "safetensors", FORMATS)
    assert (made.ref, made.format, made.quantization) == ("tiny:safetensors-f16", "safetensors", "F16")
    assert judged(made).startswith(("96/96", "95/96 greedy tokens equal, 1 near", "94/96 greedy tokens equal, 2 near"))
    folder, wanted = model_path(library, made), write_hf(tmp_path / "hf")
    found, meant = load_file(folder / "model.safetensors"), weights()
    assert found.keys() == meant.keys()
    assert all(np.array_equal(found[name], meant[name]) for name in meant)
    ours, theirs = (json.loads((one / "config.json").read_text()) for one in (folder, wanted))
    assert {name: ours.get(name) for name in theirs} == theirs | {"eos_token_id": [3, 0]}
    ours, theirs = (json.loads((one / "tokenizer.json").read_text()) for one in (folder, wanted))
    assert ours["model"] == theirs["model"]
    assert ours["added_tokens"] == theirs["added_tokens"]
    said = json.loads((folder / "tokenizer_config.json").read_text())
    assert (said["chat_template"], said["bos_token"], said["eos_token"]) == (TEMPLATE, "<s>", "<|im_end|>")
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [3, 0]
    assert convert(library, parent, "safetensors", FORMATS) == made


def unturned(tensors: dict[str, Any], more: dict[str, tuple[str, int]]) -> None:
    """Qwen's rows stay as they are in a checkpoint; ``more``: names and widths of a layer's further tensors."""
    tensors |= {gguf_name(name): array for name, array in weights().items() if array.ndim > 1}
    rng = np.random.default_rng(3)
    for layer in range(SHAPE.layers):
        for name, (kind, width) in more.items():
            around = 1.0 if kind == "norm" else 0.0
            tensors[f"blk.{layer}.{name}"] = (around + rng.normal(0, 0.3, width)).astype(np.float16).astype(np.float32)


def qwen2(keys: dict[str, Any], tensors: dict[str, Any]) -> None:
    keys["tokenizer.ggml.pre"] = "qwen2"
    unturned(tensors, {f"attn_{part}.bias": ("bias", width) for part, width in (("q", 64), ("k", 32), ("v", 32))})


def qwen3(keys: dict[str, Any], tensors: dict[str, Any]) -> None:
    keys["tokenizer.ggml.pre"] = "qwen2"
    keys["qwen3.attention.key_length"] = keys["qwen3.attention.value_length"] = 16
    unturned(tensors, {f"attn_{part}_norm.weight": ("norm", 16) for part in "qk"})


def llama3(keys: dict[str, Any], tensors: dict[str, Any]) -> None:
    """It begins with a token though no key says so; and it is tied."""
    keys["tokenizer.ggml.pre"] = "llama-bpe"
    del keys["tokenizer.ggml.add_bos_token"], tensors["output.weight"]


def smollm(keys: dict[str, Any], tensors: dict[str, Any]) -> None:
    keys["tokenizer.ggml.pre"] = "smollm"
    keys["tokenizer.ggml.add_bos_token"] = False
    keys["tokenizer.ggml.token_type"] = [
        4 if one == 259 else kind for one, kind in enumerate(keys["tokenizer.ggml.token_type"])
    ]


@pytest.mark.slow  # two frameworks each
@pytest.mark.parametrize(
    ("architecture", "change"), [("qwen2", qwen2), ("qwen3", qwen3), ("llama", llama3), ("llama", smollm)]
)
def test_relatives(library: Library, tiny: Path, tmp_path: Path, architecture: str, change: Change) -> None:
    parent = take_file(library, changed(tiny, tmp_path / "other.gguf", change, architecture))
    made = convert(library, parent, "safetensors", FORMATS)
    verdict = judged(made)
    assert int(verdict.partition("/")[0]) >= 92, verdict
    assert json.loads((library.folder(made) / "config.json").read_text())["model_type"] == architecture


@pytest.mark.slow
def test_a_quantized_file_is_unpacked_and_says_nearly_the_same(library: Library, tiny: Path) -> None:
    packed = quantize(library, take_file(library, tiny), "Q8_0", FORMATS)
    made = convert(library, packed, "safetensors", FORMATS, ConversionOptions(dtype="BF16"))
    assert (made.quantization, made.ref) == ("BF16", "tiny:safetensors-bf16")
    assert 60 < int(judged(made).partition("/")[0]) < 97


def with_key(name: str, value: object) -> Change:
    return lambda keys, _tensors: keys.__setitem__(name, value)


def with_tensor(name: str, array: Any) -> Change:
    return lambda _keys, tensors: tensors.__setitem__(name, array)


@pytest.mark.parametrize(
    ("change", "architecture", "words"),
    [
        (with_key("general.name", "x"), "gemma", "architecture is gemma"),
        (with_key("llama.rope.scaling.type", "linear"), "llama", r"llama\.rope\.scaling\.type"),
        (with_key("llama.expert_count", 4), "llama", r"llama\.expert_count"),
        (with_key("llama.attention.sliding_window", 64), "llama", "sliding_window"),
        (with_key("llama.rope.dimension_count", 8), "llama", "a part of each head"),
        (with_key("llama.attention.head_count_kv", [2, 2, 2]), "llama", "head_count_kv"),
        (with_key("llama.attention.layer_norm_rms_epsilon", 0.0), "llama", "rms_epsilon"),
        (with_key("llama.block_count", 4_000_000), "llama", "fewer tensors than layers"),
        (with_key("llama.block_count", 4), "llama", r"lacks the tensor blk\.3"),
        (with_key("llama.feed_forward_length", 128), "llama", "another shape"),
        (with_key("split.count", 2), "llama", "one part of several"),
        (with_tensor("rope_freqs.weight", np.ones(8, np.float32)), "llama", r"rope_freqs\.weight"),
        (with_tensor("blk.0.attn_q.bias", np.ones(64, np.float32)), "llama", r"blk\.0\.attn_q\.bias"),
        (with_key("tokenizer.ggml.model", "llama"), "llama", "not byte-level BPE"),
        (with_key("tokenizer.ggml.pre", "tekken"), "llama", "rules called tekken"),
        (with_key("tokenizer.ggml.precompiled_charsmap", "x"), "llama", "precompiled_charsmap"),
        (with_key("tokenizer.ggml.add_space_prefix", True), "llama", "a space before"),
        (with_key("tokenizer.ggml.bos_token_id", 4000), "llama", "do not fit"),
        (with_key("tokenizer.ggml.merges", ["a"]), "llama", "do not fit"),
        (with_key("tokenizer.ggml.tokens", ["a", "a"]), "llama", "do not fit"),
        (with_key("tokenizer.ggml.tokens", [1, 2, 3]), "llama", "do not fit"),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_refused(
    tiny: Path, tmp_path: Path, change: Change, architecture: str, words: str
) -> None:
    raw = read_gguf(changed(tiny, tmp_path / "other.gguf", change, architecture))
    with pytest.raises(Unsupported, match=words) as caught:
        network_of(raw), words_of(raw)
    assert "SafeTensors" in caught.value.hint


def test_a_key_that_says_nothing_may_be_there(tiny: Path, tmp_path: Path) -> None:
    def change(keys: dict[str, Any], tensors: dict[str, Any]) -> None:
        keys |= {"llama.expert_count": 0, "llama.rope.scaling.type": "none", "somebody.wrote": "this"}

    assert network_of(read_gguf(changed(tiny, tmp_path / "other.gguf", change))).heads == 4


def test_nothing_is_left_of_what_was_refused(library: Library, tiny: Path, tmp_path: Path) -> None:
    parent = take_file(library, changed(tiny, tmp_path / "x.gguf", with_key("llama.rope.scaling.type", "yarn")))
    with pytest.raises(Unsupported, match="scaling"):
        convert(library, parent, "safetensors", FORMATS)
    for options in (ConversionOptions(bits=4), ConversionOptions(mode="mxfp4")):
        with pytest.raises(Unsupported, match="quantize"):
            convert(library, parent, "safetensors", FORMATS, options)
    with pytest.raises(UnknownChoice, match="F8"):
        convert(library, parent, "safetensors", FORMATS, ConversionOptions(dtype="F8"))
    assert (list(library.partial.iterdir()), records(library)) == ([], (parent,))


def test_numbers_too_large_for_the_type(library: Library, tiny: Path, tmp_path: Path) -> None:
    large = np.full((325, 64), 1e5, np.float32)
    parent = take_file(library, changed(tiny, tmp_path / "x.gguf", with_tensor("output.weight", large)))
    with pytest.raises(FileDamaged, match="too large for F16"):
        convert(library, parent, "safetensors", FORMATS, ConversionOptions(dtype="F16"), judged=False)
    made = convert(library, parent, "safetensors", FORMATS, ConversionOptions(dtype="F32"), judged=False)
    assert load_file(model_path(library, made) / "model.safetensors")["lm_head.weight"].max() == 1e5


def test_a_matrix_of_several_slabs(tmp_path: Path) -> None:
    """Packed rows are unpacked in slabs of whole heads: what comes out is what the whole matrix at once gives."""
    rows, columns, head = 12_288, 512, 64
    packed = np.random.default_rng(0).integers(0, 60, (rows, columns // 256 * 144), dtype=np.uint8)
    writer = GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("one.weight", packed, raw_dtype=GGMLQuantizationType.Q4_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    told: list[float] = []
    [made] = unpacked(read_gguf(tmp_path / "one.gguf"), {"one.weight": Place("one", head)}, "F32", told.append)
    found = np.frombuffer(b"".join(made.blocks), np.float32).reshape(made.shape)
    whole = dequantize(packed, GGMLQuantizationType.Q4_K).reshape(-1, head // 2, 2, columns)
    assert np.array_equal(found, whole.swapaxes(1, 2).reshape(rows, columns))
    assert (len(told), sum(told)) == (3, made.size)
