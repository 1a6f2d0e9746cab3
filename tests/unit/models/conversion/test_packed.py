"""GPTQ's and AWQ's packed numbers against packers written from the formats' definitions."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from tests.hf_maker import pack_along, pack_awq, packed_llama, save

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.models.conversion import packed
from ultralab.models.conversion.dequantize import Packing, dequantize, packing_of

RNG = np.random.default_rng(3)
GPTQ = Packing("gptq", 4, 32, less_one=True)


def words(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[np.uint32]]:
    return array.view(np.uint32)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_a_stream_of_numbers(bits: int) -> None:
    numbers = RNG.integers(0, 2**bits, (96, 5)).astype(np.uint8)
    np.testing.assert_array_equal(packed.unpack_stream(words(pack_along(numbers, bits)), bits), numbers)


def test_awqs_order() -> None:
    numbers = RNG.integers(0, 16, (5, 64)).astype(np.uint8)
    np.testing.assert_array_equal(packed.unpack_awq(words(pack_awq(numbers))), numbers)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_zero_points_less_one_wrap_around(bits: int) -> None:
    zeros = (np.arange(64).reshape(2, 32) % 2**bits).astype(np.uint8)
    stored = ((zeros.astype(int) - 1) % 2**bits).astype(np.uint8)
    content = words(np.ascontiguousarray(pack_along(np.ascontiguousarray(stored.T), bits).T))
    np.testing.assert_array_equal(packed.gptq_zeros(content, bits, less_one=True), zeros)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("form", ["gptq", "gptq_v2"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq(tmp_path: Path, bits: int, form: str, ordered: bool) -> None:
    meant = packed_llama(tmp_path / "in", "gptq", bits=bits, form=form, ordered=ordered)
    check(tmp_path, meant)


@pytest.mark.parametrize("group_size", [16, 64])
def test_awq(tmp_path: Path, group_size: int) -> None:
    meant = packed_llama(tmp_path / "in", "awq", group_size=group_size)
    check(tmp_path, meant)


def check(tmp_path: Path, meant: dict[str, np.ndarray[Any, np.dtype[Any]]]) -> None:
    """Every weight is scale · (number - zero), rounded once to float16, and read by the ``safetensors`` library."""
    folder = tmp_path / "out"
    folder.mkdir()
    config = json.loads((tmp_path / "in" / "config.json").read_text())["quantization_config"]
    written: list[float] = []
    assert dequantize([tmp_path / "in" / "model.safetensors"], packing_of(config), folder, written.append) == [
        "model.safetensors"
    ]
    made = load_file(folder / "model.safetensors")
    assert made.keys() == meant.keys()
    for name, array in meant.items():
        assert made[name].dtype == np.float16
        np.testing.assert_array_equal(made[name], array, err_msg=name)
    assert sum(written) == sum(array.nbytes for array in made.values())


def test_files_of_bounded_size_with_their_index(tmp_path: Path) -> None:
    meant = packed_llama(tmp_path / "in", "awq")
    (tmp_path / "out").mkdir()
    packing = Packing("awq", 4, 32, less_one=False)
    names = dequantize(
        [tmp_path / "in" / "model.safetensors"], packing, tmp_path / "out", lambda _count: None, largest=100_000
    )
    parts, index = names[:-1], json.loads((tmp_path / "out" / names[-1]).read_text())
    assert len(parts) > 2
    assert names[-1] == "model.safetensors.index.json"
    assert index["weight_map"].keys() == meant.keys()
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in meant.values())
    for name, part in index["weight_map"].items():
        with safe_open(tmp_path / "out" / part, "np") as opened:
            np.testing.assert_array_equal(opened.get_tensor(name), meant[name])


def layer(
    **changes: tuple[str, np.ndarray[Any, np.dtype[Any]]],
) -> dict[str, tuple[str, np.ndarray[Any, np.dtype[Any]]]]:
    """A GPTQ layer of 64 inputs and 32 outputs in groups of 32."""
    parts: dict[str, tuple[str, np.ndarray[Any, np.dtype[Any]]]] = {
        "qweight": ("I32", np.zeros((8, 32), np.int32)),
        "qzeros": ("I32", np.zeros((2, 4), np.int32)),
        "scales": ("F16", np.ones((2, 32), np.float16)),
        "g_idx": ("I32", np.arange(64, dtype=np.int32) // 32),
    }
    return {f"a.{name}": part for name, part in (parts | changes).items()}


@pytest.mark.parametrize(
    "changes",
    [
        {"scales": ("F16", np.ones((2, 33), np.float16))},
        {"scales": ("F16", np.ones((2, 0), np.float16))},
        {"scales": ("I32", np.ones((2, 32), np.int32))},
        {"scales": ("F16", np.full((2, 32), np.inf, np.float16))},
        {"scales": ("F32", np.full((2, 32), 1e9, np.float32))},
        {"qzeros": ("I32", np.zeros((3, 4), np.int32))},
        {"qzeros": ("I32", np.zeros((2, 5), np.int32))},
        {"qweight": ("I32", np.zeros((8, 32, 1), np.int32))},
        {"g_idx": ("I32", np.arange(64, dtype=np.int32))},
        {"g_idx": ("I32", np.full(64, -3, np.int32))},
        {"g_idx": ("I32", np.zeros(63, np.int32))},
    ],
)
def test_parts_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, tuple[str, np.ndarray[Any, np.dtype[Any]]]]
) -> None:
    save(tmp_path / "model.safetensors", layer(**changes))
    (tmp_path / "out").mkdir()
    with pytest.raises(FileDamaged):
        dequantize([tmp_path / "model.safetensors"], GPTQ, tmp_path / "out", lambda _count: None)


def test_a_missing_part_and_a_file_that_became_shorter(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    parts = layer()
    del parts["a.scales"]
    save(tmp_path / "model.safetensors", parts)
    with pytest.raises(FileDamaged, match="scales"):
        dequantize([tmp_path / "model.safetensors"], GPTQ, tmp_path / "out", lambda _count: None)
    save(tmp_path / "model.safetensors", layer())
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:-8])
    with pytest.raises(FileDamaged, match="shorter"):
        dequantize([tmp_path / "model.safetensors"], GPTQ, tmp_path / "out", lambda _count: None)
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 2**60))
    with pytest.raises(FileDamaged, match="too long"):
        dequantize([tmp_path / "model.safetensors"], GPTQ, tmp_path / "out", lambda _count: None)


@pytest.mark.parametrize(
    "config",
    [
        {"quant_method": "awq", "version": "gemv", "bits": 4},
        {"quant_method": "awq", "bits": 3},
        {"quant_method": "gptq", "bits": 5},
        {"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"},
        {"quant_method": "gptq", "bits": "4"},
        {"quant_method": "bitsandbytes", "bits": 4},
    ],
)
def test_what_cannot_be_unpacked(config: dict[str, object]) -> None:
    with pytest.raises(Unsupported, match="cannot be unpacked"):
        packing_of(config)


def test_how_weights_are_packed() -> None:
    assert packing_of({"quant_method": "gptq", "bits": 8, "group_size": -1}) == Packing("gptq", 8, -1, less_one=True)
    assert packing_of({"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2"}).less_one is False
    assert packing_of({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}) == Packing("awq", 4, 64, less_one=False)
