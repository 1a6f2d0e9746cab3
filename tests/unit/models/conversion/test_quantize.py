"""Quantization of small models made here, and of the real one."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from tests.gguf_maker import F32, STR, U32, Tensor, gguf_bytes, small_keys, tiny_llama
from tests.unit.models.conversion.folders import take_file

from ultralab.kernel.errors import FileDamaged, UnknownChoice, Unsupported
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models import (
    EXTERNAL_QUANTIZATIONS,
    QUANTIZATIONS,
    Library,
    ModelRecord,
    made_before,
    model_path,
    quantization_memory,
    quantize,
    records,
)
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.formats.gguf_reader import GgufHeader, TensorInfo, read_gguf

RNG = np.random.default_rng(7)


def numbers(*shape: int) -> bytes:
    return RNG.normal(0, 0.05, shape).astype(np.float32).tobytes()


def take(library: Library, path: Path) -> ModelRecord:
    return take_file(library, path)


def make(library: Library, parent: ModelRecord, target: str, progress: Progress = SILENT) -> ModelRecord:
    return quantize(library, parent, target, [FORMAT], progress)


def read(library: Library, record: ModelRecord) -> GgufHeader:
    return read_gguf(model_path(library, record))


def data(header: GgufHeader, tensor: TensorInfo) -> bytes:
    return header.path.read_bytes()[tensor.start : tensor.start + tensor.size]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "lab")


@pytest.fixture
def parent(library: Library, tmp_path: Path) -> ModelRecord:
    """Everything the rules speak of: experts, rows that fit no block, a norm with two rows, a bias."""
    tensors = (
        Tensor("token_embd.weight", (256, 4), "F32", numbers(4, 256)),
        Tensor("blk.0.attn_norm.weight", (256,), "F32", numbers(256)),
        Tensor("blk.0.attn_q_norm.weight", (256, 2), "F32", numbers(2, 256)),
        Tensor("blk.0.mixed_q.weight", (256, 48), "F32", numbers(48, 256)),
        Tensor("blk.0.attn_q.bias", (48, 2), "F32", numbers(2, 48)),
        Tensor("blk.0.mixed_k.weight", (96, 17), "F32", numbers(17, 96)),
        Tensor("blk.0.odd.weight", (7, 5), "F32", numbers(5, 7)),
        Tensor("blk.0.ffn_gate_inp.weight", (256, 4), "F32", numbers(4, 256)),
        Tensor("blk.0.ffn_up_exps.weight", (256, 6, 3), "F32", numbers(3, 6, 256)),
        Tensor("blk.0.none.weight", (256, 0), "F32"),
        Tensor("output.weight", (256, 4), "F32", numbers(4, 256)),
    )
    keys = small_keys(
        general__file_type=(U32, 0),
        general__quantized_by=(STR, "someone"),
        quantize__imatrix__file=(STR, "x"),
        llama__embedding_length=(U32, 256),
    )
    path = tmp_path / "Rules-F32.gguf"
    path.write_bytes(gguf_bytes(keys, tensors))
    return take(library, path)


CHANGED = {"blk.0.mixed_q.weight", "blk.0.mixed_k.weight", "blk.0.odd.weight", "blk.0.ffn_up_exps.weight"}


@pytest.mark.parametrize("target", QUANTIZATIONS)
def test_each_type_changes_the_blocks_and_nothing_else(library: Library, parent: ModelRecord, target: str) -> None:
    before, made = read(library, parent), make(library, parent, target)
    after = read(library, made)
    ternary = target.startswith("TQ")
    expected_types = {
        "blk.0.mixed_q.weight": target,
        "blk.0.ffn_up_exps.weight": target,
        "blk.0.mixed_k.weight": "Q4_0" if ternary else target,
        "blk.0.odd.weight": "F16",
    }
    assert {item.name: item.type.name for item in after.tensors} == {
        item.name: expected_types.get(item.name, "F32") for item in before.tensors
    }
    assert [item.shape for item in after.tensors] == [item.shape for item in before.tensors]
    for old, new in zip(before.tensors, after.tensors, strict=True):
        if old.name not in CHANGED:
            assert data(after, new) == data(before, old), old.name
            continue
        original = np.frombuffer(data(before, old), np.float32).reshape(-1, old.row)
        wanted = quants.quantize(original, GGMLQuantizationType(new.type.code))
        assert data(after, new) == wanted.tobytes(), old.name


def test_the_keys_stay_but_for_those_about_quantization(library: Library, parent: ModelRecord) -> None:
    before, after = read(library, parent), read(library, make(library, parent, "Q5_1"))
    kept = {key: value for key, value in before.values.items() if key != "quantize.imatrix.file"}
    assert after.values == {
        **kept,
        "general.file_type": 9,
        "general.quantized_by": "ultralab",
        "general.quantization_version": 2,
    }
    assert after.counts == before.counts


def test_the_record_of_a_derived_model(library: Library, parent: ModelRecord) -> None:
    made = make(library, parent, " q8_0 ")
    content = model_path(library, made).read_bytes()
    assert (made.ref, made.family, made.quantization, made.source) == (
        "rules:q8_0",
        parent.family,
        "Q8_0",
        "derived:rules:f32",
    )
    assert made.derived == {
        "parent": "rules:f32",
        "parent_sha256": parent.files[0].sha256,
        "tool": "ultralab + gguf",
        "tool_version": made.derived["tool_version"] if made.derived else "",
        "quantization": "Q8_0",
    }
    assert made.files[0].name == "rules.Q8_0.gguf"
    assert (made.files[0].sha256, made.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert [record.ref for record in records(library)] == ["rules:f32", "rules:q8_0"]
    assert list(library.partial.iterdir()) == []


def test_the_same_input_gives_the_same_bytes(library: Library, parent: ModelRecord, tmp_path: Path) -> None:
    first = make(library, parent, "Q4_0")
    other = Library(tmp_path / "other")
    again = make(other, take(other, model_path(library, parent)), "Q4_0")
    assert [file.sha256 for file in again.files] == [file.sha256 for file in first.files]


def test_what_was_made_is_not_made_again(library: Library, parent: ModelRecord) -> None:
    first = make(library, parent, "Q4_0")
    inode = model_path(library, first).stat().st_ino
    assert make(library, parent, "q4_0") == first
    assert model_path(library, first).stat().st_ino == inode


def test_a_lost_variant_is_made_again(library: Library, parent: ModelRecord) -> None:
    first = make(library, parent, "Q4_0")
    (library.blobs / first.files[0].sha256).unlink()
    assert make(library, parent, "Q4_0").files == first.files
    model_path(library, first)


def test_a_model_that_is_in_the_type_already_is_returned_itself(library: Library, parent: ModelRecord) -> None:
    first = make(library, parent, "Q8_0")
    assert make(library, first, "Q8_0") == first


def test_a_variant_whose_name_is_taken_says_where_it_comes_from(library: Library, parent: ModelRecord) -> None:
    make(library, parent, "Q4_0")
    five = make(library, parent, "Q5_1")
    assert make(library, five, "Q4_0").ref == "rules:q4_0-from-q5_1"


def test_a_type_nobody_knows(library: Library, parent: ModelRecord) -> None:
    with pytest.raises(UnknownChoice) as caught:
        make(library, parent, "Q8")
    assert caught.value.hint.startswith("Did you mean Q8_0")
    assert caught.value.data["known"] == sorted([*QUANTIZATIONS, *EXTERNAL_QUANTIZATIONS])


def test_numbers_that_are_none_are_refused_and_nothing_stays(library: Library, tmp_path: Path) -> None:
    bad = numbers(32, 64)[:-4] + struct.pack("<f", float("nan"))
    path = tmp_path / "Bad-F32.gguf"
    path.write_bytes(gguf_bytes(small_keys(), (Tensor("blk.0.ffn_up.weight", (64, 32), "F32", bad),)))
    parent = take(library, path)
    with pytest.raises(FileDamaged, match="infinite or none"):
        make(library, parent, "Q8_0")
    assert (list(library.partial.iterdir()), records(library)) == ([], (parent,))


def test_a_source_type_that_cannot_be_unpacked(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "Odd.gguf"
    odd = Tensor("blk.0.ffn_up.weight", (256, 2), "F32", bytes(2 * 292), code=15)
    path.write_bytes(gguf_bytes(small_keys(), (odd,)))
    with pytest.raises(Unsupported, match="Q8_K"):
        make(library, take(library, path), "Q8_0")


def test_ctrl_c_leaves_nothing_half_written(library: Library, parent: ModelRecord) -> None:
    class Impatient:
        @contextmanager
        def step(self, label: str, total: float | None = None, unit: str = "") -> Iterator[Impatient]:
            yield self

        def advance(self, amount: float = 1) -> None:
            raise KeyboardInterrupt

        def describe(self, text: str) -> None:
            return None

        def say(self, text: str) -> None:
            return None

    with pytest.raises(KeyboardInterrupt):
        make(library, parent, "Q8_0", Impatient())
    assert (list(library.partial.iterdir()), records(library)) == ([], (parent,))


def test_tensors_larger_than_a_slab(library: Library, tmp_path: Path) -> None:
    content = numbers(2101, 1024)
    path = tmp_path / "Large-F32.gguf"
    path.write_bytes(gguf_bytes(small_keys(), (Tensor("blk.0.ffn_up.weight", (1024, 2101), "F32", content),)))
    header = read(library, make(library, take(library, path), "Q4_1"))
    wanted = quants.quantize(np.frombuffer(content, np.float32).reshape(2101, 1024), GGMLQuantizationType.Q4_1)
    assert data(header, header.tensors[0]) == wanted.tobytes()


def test_a_model_that_llama_cpp_loads_can_be_made_and_quantized(library: Library, tmp_path: Path) -> None:
    parent = take(library, tiny_llama(tmp_path / "Tiny-Llama-F32.gguf"))
    made = make(library, parent, "Q8_0")
    assert (parent.quantization, made.quantization, made.ref) == ("F32", "Q8_0", "tiny-llama:q8_0")


def test_the_real_model(smollm2: Path, tmp_path: Path) -> None:
    library = Library(tmp_path / "lab")
    made = make(library, take(library, smollm2), "Q4_0")
    assert (made.ref, made.size, made.tensor_types) == (
        "smollm2-135m-instruct:q4_0",
        91726976,
        {"Q4_0": 59719680, "Q8_0": 30081024, "F32": 140544},
    )
    assert round(made.bits_per_weight, 4) == 5.3491


def test_an_alignment_of_the_sources_own_is_kept(library: Library, tmp_path: Path) -> None:
    keys = small_keys(general__alignment=(U32, 128), llama__rope__freq_base=(F32, 1e4), llama__block_count=(U32, 2))
    tensors = (
        Tensor("blk.0.attn_norm.weight", (3,), "F32", numbers(3)),
        Tensor("blk.0.ffn_up.weight", (64, 3), "F32", numbers(3, 64)),
        Tensor("blk.1.ffn_up.weight", (64, 3), "F32", numbers(3, 64)),
    )
    path = tmp_path / "Aligned-F32.gguf"
    path.write_bytes(gguf_bytes(keys, tensors, alignment=128))
    header = read(library, make(library, take(library, path), "Q8_0"))
    assert (header.alignment, [item.start % 128 for item in header.tensors]) == (128, [0, 0, 0])


def test_what_was_made_before(library: Library, parent: ModelRecord) -> None:
    assert made_before(library, parent, "Q4_0") is None
    made = make(library, parent, "Q4_0")
    assert (made_before(library, parent, "q4_0"), made_before(library, parent, "Q8_0")) == (made, None)


def test_the_memory_for_quantizing_grows_with_the_largest_tensor_up_to_a_slab(tmp_path: Path) -> None:
    def needed(*rows: int) -> int:
        path = tmp_path / "x.gguf"
        tensors = [Tensor(f"blk.{n}.ffn_up.weight", (1024, count), "F32") for n, count in enumerate(rows)]
        path.write_bytes(gguf_bytes(small_keys(), tensors))
        return quantization_memory(path)

    number = 48 * min(8, os.cpu_count() or 1) + 16
    assert needed(64) - needed(32) == number * 32 * 1024
    assert needed(32, 64, 32) - needed(32, 32, 32) == number * 32 * 1024
    assert needed(2048) == needed(1024) > 1024 * 1024 * number
