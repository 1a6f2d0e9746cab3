"""Tiny model folders as Hugging Face has them: a random llama, a real tokenizer, and the same packed as GPTQ and AWQ.

The packers are written from the formats' definitions (AutoGPTQ's and AutoAWQ's layouts), number by number, without the
code that they test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import TensorSpec, serialize_file

HIDDEN, INNER, VOCABULARY, KV = 64, 128, 512, 32
LINEAR = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
          "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")  # fmt: skip
_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I32": "int32"}

Numbers = np.ndarray[Any, np.dtype[Any]]


def llama_weights(seed: int = 0, layers: int = 2) -> dict[str, Numbers]:
    """A random llama's tensors, float32, by their names in a checkpoint."""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> Numbers:
        return rng.normal(0, 0.12, shape).astype(np.float32)

    shapes = {
        "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (KV, HIDDEN), "self_attn.v_proj": (KV, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN), "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER),
    }  # fmt: skip
    weights = {"model.embed_tokens.weight": random(VOCABULARY, HIDDEN), "lm_head.weight": random(VOCABULARY, HIDDEN)}
    for layer in range(layers):
        place = f"model.layers.{layer}"
        weights |= {f"{place}.{name}.weight": random(*shape) for name, shape in shapes.items()}
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{place}.{norm}.weight"] = np.ones(HIDDEN, np.float32)
    weights["model.norm.weight"] = np.ones(HIDDEN, np.float32)
    return weights


def llama_config(dtype: str = "F32", layers: int = 2, **more: object) -> dict[str, object]:
    """A ``config.json``."""
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": layers,
        "intermediate_size": INNER, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "vocab_size": VOCABULARY, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": _NAMES[dtype], **more,
    }  # fmt: skip


def save(path: Path, tensors: Mapping[str, tuple[str, Numbers]]) -> None:
    """Write a SafeTensors file; a BF16 tensor is given as float32 and cut to its upper half, rounded."""
    kept = {name: _bytes(dtype, array) for name, (dtype, array) in tensors.items()}  # the library takes addresses
    specs = {}
    for name, (dtype, array) in tensors.items():
        content = np.frombuffer(kept[name], np.uint8)
        specs[name] = TensorSpec(
            dtype=_NAMES[dtype], shape=list(array.shape), data_ptr=content.ctypes.data, data_len=content.nbytes
        )
    serialize_file(specs, str(path), {"format": "pt"})


def _bytes(dtype: str, array: Numbers) -> bytes:
    if dtype == "BF16":
        bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()
    return np.ascontiguousarray(array.astype(np.dtype(_NAMES[dtype]))).tobytes()


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer, trained on a few words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog", "春天的早晨，湖面上"] * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def hf_llama(folder: Path, *, dtype: str = "F32", seed: int = 0, weights: dict[str, Numbers] | None = None) -> Path:
    """A folder with a random llama in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(llama_config(dtype)))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 0, "eos_token_id": 1}))
    write_tokenizer(folder)
    found = llama_weights(seed) if weights is None else weights
    save(folder / "model.safetensors", {name: (dtype, array) for name, array in found.items()})
    return folder


@dataclass(frozen=True)
class Grid:
    """A layer's weights as whole numbers: weight[o, i] = scale[g, o] · (number[i, o] - zero[g, o]), g = group[i]."""

    numbers: Numbers
    zeros: Numbers
    scales: Numbers
    groups: Numbers

    @property
    def weight(self) -> Numbers:
        """(out, in), float16, rounded once."""
        inputs, outputs = self.numbers.shape
        made = np.empty((outputs, inputs), np.float16)
        for place in range(inputs):
            group = int(self.groups[place])
            steps = self.numbers[place].astype(np.float64) - self.zeros[group].astype(np.float64)
            made[:, place] = (self.scales[group].astype(np.float64) * steps).astype(np.float16)
        return made


def to_grid(weight: Numbers, bits: int, group_size: int, order: Numbers | None = None) -> Grid:
    """The nearest grid; ``order`` says each input's group, where activations were ordered. Zero points are at least 1."""
    outputs, inputs = weight.shape
    groups = np.arange(inputs) // group_size if order is None else order
    count, top = int(groups.max()) + 1, 2**bits - 1
    numbers = np.empty((inputs, outputs), np.uint8)
    zeros = np.empty((count, outputs), np.uint8)
    scales = np.empty((count, outputs), np.float16)
    for group in range(count):
        part = weight[:, groups == group]
        low, high = np.minimum(part.min(1), -1e-3), np.maximum(part.max(1), 1e-3)
        scales[group] = ((high - low) / top).astype(np.float16)
        zeros[group] = np.clip(np.round(-low / scales[group].astype(np.float32)), 1, top)
        steps = np.round(part / scales[group].astype(np.float32)[:, None]) + zeros[group][:, None]
        numbers[groups == group] = np.clip(steps, 0, top).T.astype(np.uint8)
    return Grid(numbers, zeros, scales, groups)


def pack_along(numbers: Numbers, bits: int) -> Numbers:
    """(n, columns) → (n·bits/32, columns): each column one long number, the first entry lowest, cut into words."""
    rows, columns = numbers.shape
    packed = np.empty((rows * bits // 32, columns), np.uint32)
    for column in range(columns):
        whole = sum(int(number) << (bits * row) for row, number in enumerate(numbers[:, column]))
        for word in range(packed.shape[0]):
            packed[word, column] = (whole >> (32 * word)) & 0xFFFFFFFF
    return packed.view(np.int32)


def pack_awq(numbers: Numbers) -> Numbers:
    """(rows, n) → (rows, n/8): eight neighbours in a word, in the order 0 2 4 6 1 3 5 7 from the lowest bits."""
    rows, count = numbers.shape
    packed = np.zeros((rows, count // 8), np.uint32)
    for place, column in enumerate((0, 2, 4, 6, 1, 3, 5, 7)):
        packed |= numbers[:, column::8].astype(np.uint32) << np.uint32(4 * place)
    return packed.view(np.int32)


def packed_llama(
    folder: Path,
    method: str,
    *,
    bits: int = 4,
    group_size: int = 32,
    ordered: bool = False,
    form: str = "gptq",
    seed: int = 0,
) -> dict[str, Numbers]:
    """A GPTQ or AWQ folder; what its weights stand for, float16, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tensors: dict[str, tuple[str, Numbers]] = {}
    meant: dict[str, Numbers] = {}
    for name, weight in llama_weights(seed).items():
        if not any(f".{part}." in name for part in LINEAR):
            tensors[name] = ("F16", weight)
            meant[name] = weight.astype(np.float16)
            continue
        inputs = weight.shape[1]
        order = rng.permutation(np.arange(inputs) // group_size) if ordered else None
        grid = to_grid(weight, bits, group_size, order)
        meant[name] = grid.weight
        place = name.removesuffix(".weight")
        tensors[f"{place}.scales"] = ("F16", grid.scales)
        if method == "awq":
            tensors[f"{place}.qweight"] = ("I32", pack_awq(grid.numbers))
            tensors[f"{place}.qzeros"] = ("I32", pack_awq(grid.zeros))
            continue
        stored = grid.zeros - 1 if form == "gptq" else grid.zeros
        tensors[f"{place}.qweight"] = ("I32", pack_along(grid.numbers, bits))
        tensors[f"{place}.qzeros"] = ("I32", np.ascontiguousarray(pack_along(np.ascontiguousarray(stored.T), bits).T))
        tensors[f"{place}.g_idx"] = ("I32", grid.groups)
    config: dict[str, object] = {"quant_method": method, "bits": bits, "group_size": group_size}
    if method == "awq":
        config |= {"version": "gemm", "zero_point": True}
    else:
        config |= {"desc_act": ordered, "sym": False, "checkpoint_format": form}
    (folder / "config.json").write_text(json.dumps(llama_config("F16", quantization_config=config)))
    write_tokenizer(folder)
    save(folder / "model.safetensors", tensors)
    return meant
